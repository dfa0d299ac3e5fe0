"""The remedy for a difference, by cause: one sentence with the command."""

from __future__ import annotations

from collections.abc import Mapping

from gamestream_dagster.reconciliation.causes.job_side import MOVED_BY
from gamestream_dagster.reconciliation.model.values import Cause, Difference

_REPLAY = "`gamestream jobs apply {job} --replay`"
_ACTIONS: Mapping[Cause, str] = {
    Cause.SINK_LAG: "the sink is behind the job: see its locks and triggers, then `gamestream repair`",
    Cause.LATE: "nothing: the window had closed; see why producers are late if it grows",
    Cause.CLOCK_AHEAD: "set the clock of the producer that is ahead, and let the broker stamp the records: "
    "`gamestream plan` says whether the topic's message.timestamp.type is LogAppendTime",
    Cause.DUPLICATE: f"{_REPLAY} counts each event once; find the producer that sends again",
    Cause.DUP_CONFLICT: "find the producer that gives one event_id to several events, or sends a player's events to "
    f"several partitions; where all of them are in one, {_REPLAY} counts the first",
    Cause.DEAD_LETTERED: f"make the job's rule and the acceptance rule agree, then {_REPLAY}",
    Cause.MISSING_EVENTS: f"{_REPLAY} reads the lost run of offsets again",
    Cause.STATE_EXPIRED: f"take the time to live off the job's state, then {_REPLAY}",
    Cause.OVERFLOW: f"sum as BIGINT, then {_REPLAY}",
    Cause.TIE_ORDER: "nothing: the values are right; add the missing term to the job's ORDER BY",
    Cause.STALE_ROW: "`gamestream repair` deletes the row",
    Cause.RESTORED_FROM_OLD_STATE: f"{_REPLAY}; `gamestream jobs history {{job}}` says who restored it",
    Cause.ERASED: f"nothing where rows are deleted by age; otherwise {_REPLAY} leaves the player out, "
    "then run the erase again",
    Cause.EDITED_BY_HAND: "`gamestream repair` writes the job's row back; find out who else may write to the sink",
}
_ALARM = "an alarm: check `gamestream why` and `gamestream jobs history {job}`; do not repair an unexplained row"


def action(difference: Difference, job: str) -> str:
    """The remedy, in one line."""
    if movers := difference.evidence.get(MOVED_BY):
        return f"nothing: it moved with {', '.join(movers[:3])}, and goes back with that"
    causes = dict.fromkeys(cause for causes in difference.alternatives for cause in causes)
    told = [_ACTIONS[cause].format(job=job) for cause in causes]
    return "; ".join(dict.fromkeys(told)) or _ALARM.format(job=job)
