"""From a run to its report: causes with their meaning, rows with their evidence, the trend as shapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Cause, Causes, Difference
from gamestream_dagster.reconciliation.results.store import PastRun

ROWS_SHOWN = 300
"""Maximum number of differences on the page; the table `differences` holds all of them."""
OPEN_UP_TO = 6
"""With at most this many differences their evidence is expanded."""

MEANING: Mapping[Cause, str] = {
    Cause.SINK_LAG: "The sink shows what the job wrote earlier: it is behind the job.",
    Cause.LATE: "Events came behind the watermark, so a window that had closed did not take them.",
    Cause.CLOCK_AHEAD: "A record's Kafka time was ahead of the clock: until then the board takes no event.",
    Cause.DUPLICATE: "An event was counted more than once.",
    Cause.DUP_CONFLICT: "Records with other content carry the same id, and another one than the first was counted.",
    Cause.DEAD_LETTERED: "The job and the acceptance rule disagree on whether an event is valid.",
    Cause.MISSING_EVENTS: "A run of offsets was never counted.",
    Cause.STATE_EXPIRED: "The job forgot a total after a pause and began it again.",
    Cause.OVERFLOW: "A total grew beyond 32 bits and wrapped.",
    Cause.TIE_ORDER: "The values are correct; rows with equal values are in another order.",
    Cause.STALE_ROW: "A row is still there that the job had deleted or moved.",
    Cause.RESTORED_FROM_OLD_STATE: "A deployment went on from an older state: what came in between is lost.",
    Cause.ERASED: "The row counts, or still names, a player who was erased: it is older than the erase.",
    Cause.EDITED_BY_HAND: "Somebody other than the job wrote to the sink: the value was never a result.",
    Cause.UNEXPLAINED: "None of the known causes gives what the board shows. This is an alarm.",
}
_MARKS = {"MATCH": "✓", "EXPLAINED": "≈", "DIFFERENT": "✗", "COULD_NOT_RUN": "?"}
# Shown in an event's own line, so not among its other facts.
_TOLD = frozenset({"events", "events_total", "also_possible"})
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co"})


@dataclass(frozen=True)
class CauseLine:
    """One cause, or one combination of causes, over all boards."""

    cause: str
    rows: int
    accepted: int
    """Rows that the policy accepts."""
    meanings: tuple[str, ...]
    actions: tuple[str, ...]
    boards: tuple[str, ...]

    @property
    def policy(self) -> str:
        """`accepted`, `not accepted`, or how many of the rows are."""
        if self.accepted in (0, self.rows):
            return "accepted" if self.accepted else "not accepted"
        return f"{self.accepted} of {self.rows} accepted"


@dataclass(frozen=True)
class Event:
    """One event behind a cause."""

    place: str
    event_id: str
    score: str
    remark: str


@dataclass(frozen=True)
class Found:
    """One difference as displayed."""

    difference: Difference
    either: str
    """An explanation where there are several causes; empty for a single one."""
    events: tuple[Event, ...]
    events_total: int
    facts: tuple[tuple[str, Any], ...]
    also: tuple[str, ...]


@dataclass(frozen=True)
class TrendPoint:
    """One past run. Positions are per mille of the width, heights per cent of the chart's."""

    run: PastRun
    mark: str
    left: float
    width: float
    differing: float
    seconds: float
    report: str
    """File name of its report in the same folder; empty when there is none."""


def causes(differences: Sequence[Difference]) -> list[CauseLine]:
    """By cause: unexplained first, then not accepted by the policy, then by rows."""
    groups: dict[str, list[Difference]] = {}
    for one in differences:
        groups.setdefault(one.cause, []).append(one)
    lines = [_cause_line(cause, found) for cause, found in groups.items()]
    unexplained = Cause.UNEXPLAINED.value
    return sorted(lines, key=lambda one: (one.cause != unexplained, one.accepted == one.rows, -one.rows, one.cause))


def _cause_line(cause: str, found: Sequence[Difference]) -> CauseLine:
    named = dict.fromkeys(part for one in found for together in one.alternatives for part in together)
    rows = {one.row for one in found}
    refused = {one.row for one in found if not one.accepted}
    meanings = [MEANING[part] for part in (named or {Cause.UNEXPLAINED: None})]
    return CauseLine(
        cause=cause,
        rows=len(rows),
        accepted=len(rows - refused),
        meanings=tuple(meanings),
        actions=tuple(dict.fromkeys(one.action for one in found if one.action)),
        boards=tuple(dict.fromkeys(one.board for one in found)),
    )


def rows(differences: Sequence[Difference]) -> list[Found]:
    """The differences to display, the worst first, else in the order of the boards."""
    order = sorted(differences, key=lambda one: (not one.unexplained, one.accepted))
    return [_found(one) for one in order[:ROWS_SHOWN]]


def _found(difference: Difference) -> Found:
    evidence = difference.evidence
    events = [_event(one) for one in _mappings(evidence.get("events"))]
    return Found(
        difference=difference,
        either=either(difference.alternatives),
        events=tuple(events),
        events_total=int(evidence.get("events_total") or len(events)),
        facts=tuple(_fact(name, value) for name, value in evidence.items() if name not in _TOLD and value is not None),
        also=tuple(_also(one) for one in _mappings(evidence.get("also_possible"))),
    )


def either(alternatives: Sequence[Causes]) -> str:
    """The explanation of a difference that does not have exactly one cause."""
    told = [" and ".join(together) + (" together" if len(together) > 1 else "") for together in alternatives]
    if not told:
        return "No cause was found. Do not repair an unexplained row."
    if len(told) > 1:
        return f"Either {', or '.join(told)}: each of them yields the shown value; this run cannot decide between them."
    return f"{told[0]} give what is shown; none of them does alone." if len(alternatives[0]) > 1 else ""


def _event(event: Mapping[str, Any]) -> Event:
    remarks: list[str] = []
    if event.get("behind_ms"):
        behind = event["behind_ms"]
        remarks.append(f"{duration(behind)} behind" if behind > 0 else f"{duration(-behind)} ahead")
    if event.get("copy_after_ms") is not None:
        remarks.append(f"a copy, {duration(event['copy_after_ms'])} after the one before it")
    if event.get("reason"):
        remarks.append(f"refused: {event['reason']}")
    if event.get("remark"):
        remarks.append(str(event["remark"]))
    score = event.get("score")
    return Event(
        place=f"{event.get('topic', '')} p{event.get('partition')}@{event.get('offset')}".strip(),
        event_id=str(event.get("event_id") or "no event id"),
        score="–" if score is None else f"{score:,}" if isinstance(score, int) else str(score),
        remark=", ".join(remarks),
    )


def _fact(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_ms") and isinstance(value, int):
        return name.removesuffix("_ms").replace("_", " "), duration(value)
    return name.replace("_", " "), value


def _also(one: Mapping[str, Any]) -> str:
    facts = [_fact(name, value) for name, value in one.items() if name != "causes"]
    told = " + ".join(str(cause) for cause in one.get("causes", ()))
    return f"{told}: {', '.join(f'{name} {value}' for name, value in facts)}" if facts else told


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    listed = cast("Iterable[Any]", value) if isinstance(value, (list, tuple)) else ()
    return [cast("Mapping[str, Any]", one) for one in listed if isinstance(one, Mapping)]


def duration(millis: int) -> str:
    """`850 ms`, `71 s`, `13 min 5 s`, `2 h 3 min`."""
    if millis < 1000:
        return f"{millis} ms"
    seconds = millis // 1000
    if seconds < 120:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {seconds % 60} s"


def trend(past: Sequence[PastRun], folder_of: str | None, present: frozenset[str]) -> list[TrendPoint]:
    """The past runs as bars.

    Args:
        past: oldest first.
        folder_of: folder of the report; reports elsewhere are not linked.
        present: names of the files in it.
    """
    most = max((one.rows_different for one in past), default=0) or 1
    longest = max((one.seconds for one in past), default=0.0) or 1.0
    width = 1000 / max(len(past), 1)
    points: list[TrendPoint] = []
    for place, one in enumerate(past):
        folder, _, name = (one.report_path or "").rpartition("/")
        points.append(
            TrendPoint(
                run=one,
                mark=_MARKS.get(one.verdict, "?"),
                left=round(place * width, 2),
                width=round(width * 0.8, 2),
                differing=round(100 * one.rows_different / most, 2),
                seconds=round(100 * one.seconds / longest, 2),
                report=name if folder_of is not None and folder == folder_of and name in present else "",
            )
        )
    return points


def last_that_looked(run: ReconciliationRun, past: Sequence[PastRun]) -> PastRun | None:
    """The newest earlier run that compared something."""
    looked = [one for one in past if one.run_id != run.run_id and one.verdict in ("MATCH", "EXPLAINED", "DIFFERENT")]
    return looked[-1] if looked else None


def visible(text: str) -> str:
    """The text with control characters as codes: none may turn, hide or join its neighbours.

    Writing-direction controls, zero-width characters, line separators and the like become `[U+202E]`.
    """
    return "".join(
        f"[U+{ord(letter):04X}]" if letter not in "\n\t" and unicodedata.category(letter) in _INVISIBLE else letter
        for letter in text
    )
