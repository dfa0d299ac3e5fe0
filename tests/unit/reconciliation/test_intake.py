"""The proof of intake: an intake that does right is a match, and each fault that is planted in its outputs is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate
from gamestream_dagster.reconciliation.intake.archived import Window
from gamestream_dagster.reconciliation.model.values import Cause
from tests.support.intake_model import HORIZON, MINUTE, NOW, Intake, Place, event, judged, score, some_of_everything


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return some_of_everything(tmp_path)


def test_an_intake_that_does_right_has_no_fault(intake: Intake) -> None:
    found = judged(intake)
    assert found.faults == []
    assert found.counts == {"enriched/OK": 6, "late/OK": 2, "dead/OK": 8, "copy/OK": 2}


def test_what_came_between_the_cuts_may_have_its_fate_or_not(intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (0, 8))
    found = judged(intake, low={0: 8, 1: 9})
    assert found.faults == []
    assert found.counts["enriched/OPEN"] == 1
    beyond = judged(intake, high={0: 4, 1: 9}, low={0: 4, 1: 9})
    assert beyond.faults == []
    assert beyond.counts["None/OPEN"] == 4, "records about positions beyond the cut are not judged"


def test_a_record_without_an_output_is_missing(intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (1, 0))
    intake.unwrite(Fate.DEAD, (1, 4))
    intake.unwrite(Fate.DEAD, (1, 5))
    found = judged(intake)
    assert ("MISSING", (1, 4), 2, Cause.UNEXPLAINED) in found.told
    assert ("MISSING", (1, 0), 1, Cause.UNEXPLAINED) in found.told
    assert "read past them" in found.faults[0].sentence


def test_missing_records_that_the_job_never_counted(intake: Intake) -> None:
    for offset in (4, 5, 6):
        intake.unwrite(Fate.DEAD, (1, offset))
    found = judged(intake, counted={0: 9, 1: 6})
    assert found.told == [("MISSING", (1, 4), 3, Cause.MISSING_EVENTS)]


Spoil = Callable[[Intake], None]


def _twice(intake: Intake) -> None:
    intake.written[Fate.ENRICHED].append(intake.written[Fate.ENRICHED][0])


def _in_two_places(intake: Intake) -> None:
    intake.write(Fate.DEAD, intake.letter((0, 0), "OUT_OF_RANGE"))


def _elsewhere(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.LATE, (0, 3))
    intake.write(Fate.ENRICHED, record)


def _copy_refused(intake: Intake) -> None:
    intake.write(Fate.DEAD, intake.letter((0, 1), "DUP_CONFLICT"))


def _copy_counted(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.ENRICHED, (0, 0))
    intake.write(Fate.ENRICHED, record)
    intake.write(Fate.ENRICHED, record | {"raw_offset": 1})


def _other_digest(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.ENRICHED, (0, 7))
    intake.write(Fate.ENRICHED, record | {"digest": "0" * 32})


def _other_reason(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.DEAD, (0, 6))
    intake.write(Fate.DEAD, record | {"reason": "TOO_OLD"})


def _other_bytes(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.DEAD, (0, 6))
    intake.write(Fate.DEAD, record | {"content": "{}"})


def _beyond_the_end(intake: Intake) -> None:
    intake.write(Fate.LATE, intake.row((0, 900), "d"))


def _no_such_partition(intake: Intake) -> None:
    intake.write(Fate.LATE, intake.row((7, 0), "d"))


def _no_record_of_ours(intake: Intake) -> None:
    intake.write(Fate.LATE, b"hello")


@pytest.mark.parametrize(
    ("spoil", "kind", "place", "cause"),
    [
        (_twice, "DOUBLED", (0, 0), Cause.UNEXPLAINED),
        (_in_two_places, "DOUBLED", (0, 0), Cause.UNEXPLAINED),
        (_elsewhere, "WRONG_PLACE", (0, 3), Cause.UNEXPLAINED),
        (_copy_refused, "WRONG_PLACE", (0, 1), Cause.UNEXPLAINED),
        (_copy_counted, "DOUBLED", (0, 1), Cause.UNEXPLAINED),
        (_other_digest, "WRONG_CONTENT", (0, 7), Cause.UNEXPLAINED),
        (_other_reason, "WRONG_CONTENT", (0, 6), Cause.UNEXPLAINED),
        (_other_bytes, "WRONG_CONTENT", (0, 6), Cause.UNEXPLAINED),
        (_beyond_the_end, "FOREIGN", (0, 900), Cause.EDITED_BY_HAND),
        (_no_such_partition, "FOREIGN", (7, 0), Cause.EDITED_BY_HAND),
        (_no_record_of_ours, "FOREIGN", (0, 2), Cause.EDITED_BY_HAND),
    ],
)
def test_each_fault_is_named(intake: Intake, spoil: Spoil, kind: str, place: Place, cause: Cause) -> None:
    spoil(intake)
    found = judged(intake)
    assert found.told == [(kind, place, 1, cause)]
    assert not found.faults[0].accepted
    assert found.faults[0].held_in


def test_a_copy_after_the_horizon_is_a_duplicate_and_accepted(tmp_path: Path) -> None:
    made = Intake(tmp_path)
    made.take(event("again"), NOW)
    made.take(event("again"), NOW + HORIZON, forget=True)
    made.take(event("again", event_time=NOW + HORIZON), NOW + 2 * HORIZON, forget=True)
    found = judged(made)
    assert found.told == [
        ("COUNTED_AGAIN", (0, 1), 1, Cause.DUPLICATE),
        ("COUNTED_AGAIN", (0, 2), 1, Cause.DUP_CONFLICT),
    ]
    assert [one.accepted for one in found.faults] == [True, False]


def test_after_the_horizon_copies_are_compared_with_the_one_that_counted_last(tmp_path: Path) -> None:
    made = Intake(tmp_path)
    made.take(event("again"), NOW)
    later = event("again", properties={"other": 1})
    made.take(later, NOW + HORIZON, forget=True)
    made.take(later, NOW + HORIZON + 1)
    made.take(event("again"), NOW + HORIZON + 2)
    found = judged(made)
    assert found.told == [("COUNTED_AGAIN", (0, 1), 1, Cause.DUP_CONFLICT)]
    assert found.counts["copy/OK"] == 1
    assert found.counts["dead/OK"] == 1


def test_a_copy_in_another_partition_may_be_the_one_that_counts(tmp_path: Path) -> None:
    for first in (0, 1):
        made = Intake(tmp_path / str(first))
        made.take(event("e"), NOW + first, partition=first)
        made.take(event("e"), NOW + 1 - first, partition=1 - first)
        made.take(event("e", properties={"other": 1}), NOW + 5, partition=1)
        assert judged(made).faults == []


def test_a_run_of_before_a_replay_counts_no_more(intake: Intake) -> None:
    for fate, records in intake.written.items():
        intake.written[fate] = [*records, *((record, at + HORIZON) for record, at in records)]
    intake.scores *= 2
    assert judged(intake, eras=(NOW - 1, NOW + HORIZON)).faults == []
    assert {one.kind.value for one in judged(intake, eras=(NOW - 1,)).faults} == {"DOUBLED", "SCORE_DOUBLED"}


def test_what_the_output_no_longer_keeps_is_not_missing(intake: Intake) -> None:
    intake.take(event("new"), NOW + 5 * MINUTE)
    intake.begins[OUTPUT_TOPICS[Fate.ENRICHED]] = 6
    found = judged(intake)
    assert found.faults == []
    assert found.counts["enriched/PAST"] == 6
    intake.unwrite(Fate.DEAD, (0, 4))
    assert [one.kind.value for one in judged(intake).faults] == ["MISSING"], "the other outputs keep everything"


def test_scores_that_are_missing_doubled_or_other(intake: Intake) -> None:
    intake.take(score("s3"))
    intake.take(score("s4"))
    intake.scores[0] = intake.scores[0].replace(b'"score":4', b'"score":5')
    del intake.scores[2]
    intake.scores.append(intake.scores[-1])
    assert [(one.kind.value, (one.partition, one.first_offset)) for one in judged(intake).faults] == [
        ("SCORE_CONTENT", (0, 7)),
        ("SCORE_DOUBLED", (0, 10)),
        ("SCORE_MISSING", (0, 9)),
    ]


DAY = 24 * 60 * MINUTE


def test_a_window_judges_what_came_since_and_knows_the_ids_of_before(tmp_path: Path) -> None:
    made = Intake(tmp_path)
    made.take(event("long ago"), NOW)
    made.take(event("lost long ago"), NOW)
    made.take(event("yesterday"), NOW + DAY)
    first = made.take(event("yesterday"), NOW + 2 * DAY)
    made.take(event("long ago"), NOW + 2 * DAY)  # while it catches up, intake still knows the id
    made.take(event("long ago", properties={"other": 1}), NOW + 2 * DAY)
    made.take(event("lost"), NOW + 2 * DAY)
    made.unwrite(Fate.ENRICHED, (0, 1))
    made.unwrite(Fate.LATE, (0, 6))
    found = judged(made, window=Window(NOW + 2 * DAY, {0: first[1]}))
    assert found.told == [("MISSING", (0, 6), 1, Cause.UNEXPLAINED)]
    assert found.counts == {
        "None/PAST": 2,
        "copy/OK": 2,
        "dead/OK": 1,
        "late/MISSING": 1,
    }
