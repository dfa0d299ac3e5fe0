"""What rows of `game_alerts_v1` say of labelled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.events.abuse_play import AbuseCase

JOB = "game_alerts_v1"
OUTPUTS = tuple(name for name, board in load_boards().items() if board.job == JOB)
EVIDENCE = ("event_1", "event_2", "event_3", "event_4")

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Score:
    """Rows against labels."""

    right: int
    false: tuple[tuple[str, str], ...]
    missed: tuple[AbuseCase, ...]

    @property
    def precision(self) -> float:
        """Share of the rows' subjects that were to be found."""
        return self.right / (self.right + len(self.false))

    @property
    def recall(self) -> float:
        """Share of the subjects to be found that have a row."""
        return self.right / (self.right + len(self.missed))


def subject_of(output: str, row: Mapping[str, Any]) -> str:
    return str(row["device_id" if output == "abuse_devices" else "user_id"])


def score(cases: Sequence[AbuseCase], rows: Rows) -> Score:
    """Precision and recall; a case is right with evidence of its own events alone."""
    found = {(output, subject_of(output, row)): row for output, listed in rows.items() for row in listed}
    wanted = {(case.output, case.subject): case for case in cases if case.fires}
    for place, case in wanted.items():
        if (row := found.get(place)) is not None:
            told = {row[name].split(" ", 1)[1] for name in EVIDENCE if row[name]}
            assert told, row
            assert told <= set(case.event_ids), (case, row)
    right = found.keys() & wanted.keys()
    return Score(
        len(right),
        tuple(sorted(found.keys() - wanted.keys())),
        tuple(case for place, case in wanted.items() if place not in found),
    )
