"""What `gamestream simulate` and `gamestream replay` print at their end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gamestream_dagster.cli.hints import Talk

if TYPE_CHECKING:
    from gamestream_dagster.events.http_sending import Answers
    from gamestream_dagster.events.replay import ReplayResult
    from gamestream_dagster.events.simulation import SimulationResult

talk = Talk(stderr=True)


def print_simulation(result: SimulationResult, as_json: bool) -> None:
    """What was sent, and what the HTTP API said."""
    from gamestream_dagster.events.http_simulation import HttpSimulationResult

    kinds = {kind: result.kinds.get(kind, 0) for kind in ("normal", "late", "dup", "bad")}
    answers = result.answers if isinstance(result, HttpSimulationResult) else None
    if as_json:
        found = {"sent": result.sent, **kinds, "seconds": round(result.seconds, 3)}
        found |= _answers_data(answers) if answers else {}
        _write({**found, "truth": str(result.truth) if result.truth else None, "interrupted": result.interrupted})
    counts = " ".join(f"{kind.upper()}={count}" for kind, count in kinds.items())
    stopped = "Stopped" if result.interrupted else "Done"
    talk.print(
        f"{stopped}. SENT={result.sent} {counts}  {result.seconds:.1f} s, {result.per_second:,.0f} events/s",
        soft_wrap=True,
    )
    if answers:
        for line in answer_lines(answers):
            talk.print(line, soft_wrap=True)
    if result.truth:
        talk.print(f"truth: {result.truth}", soft_wrap=True)
    talk.print("Next: gamestream reconcile   |   gamestream board top_players")


def _answers_data(answers: Answers) -> dict[str, Any]:
    verdicts = {name: answers.verdicts.get(name, 0) for name in ("accepted", "duplicate", "refused")}
    rest = {"late_topic": answers.late, "resent": answers.resent, "unconfirmed": answers.unconfirmed}
    return {**verdicts, "reasons": dict(answers.refused), **rest, "waited_seconds": round(answers.waited_seconds, 3)}


def answer_lines(answers: Answers) -> list[str]:
    """What the HTTP API said, for people."""
    counts = " ".join(
        f"{name.upper()}={answers.verdicts.get(name, 0)}" for name in ("accepted", "duplicate", "refused")
    )
    lines = [f"verdicts: {counts}"]
    if answers.refused:
        lines.append("refused:  " + " ".join(f"{reason}={count}" for reason, count in answers.refused.most_common()))
    if answers.late:
        lines.append(f"late:     {answers.late} more than 10 minutes behind, for game-events-late")
    if answers.resent:
        lines.append(f"resent:   {answers.resent}, after {answers.waited_seconds:.1f} s of waiting")
    if answers.unconfirmed:
        lines.append(f"unknown:  {answers.unconfirmed} without a verdict; they may be stored")
    return lines


def print_replay(result: ReplayResult, as_json: bool) -> None:
    """What was sent of a file."""
    if as_json:
        counts = {"lines": result.lines, "sent": result.sent, "bad": result.bad, "blank": result.blank}
        found = {**counts, "reasons": dict(result.reasons), "interrupted": result.interrupted}
        _write({**found, "seconds": round(result.seconds, 3), "rejects": str(result.rejects or "") or None})
    reasons = "  " + " ".join(f"{reason}={count}" for reason, count in result.reasons.items()) if result.bad else ""
    stopped = "Stopped" if result.interrupted else "Done"
    blank = f" BLANK={result.blank}" if result.blank else ""
    counts = f"SENT={result.sent} BAD={result.bad}{reasons}{blank}  LINES={result.lines}"
    talk.print(f"{stopped}. {counts}  {result.seconds:.1f} s", soft_wrap=True)
    if result.rejects:
        talk.print(f"bad lines: {result.rejects}", soft_wrap=True)
    talk.print("Next: gamestream reconcile   |   gamestream board top_players")


def _write(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
