"""What `gamestream repair` plans: what is understood and lies behind the job, one step for each row, nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.causes.witness import KEY, OTHER_IS_WRONG, OTHER_SHOWS, SHOWN
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import (
    BoardResult,
    Cause,
    Causes,
    Difference,
    DifferenceKind,
    Mode,
    RecordAt,
    Row,
    Sink,
    SinkRow,
    Unreadable,
    Verdict,
)
from gamestream_dagster.reconciliation.repair import RepairAction, RepairPlan, plan_repair

BOARD = load_boards()["top_players"]
RIGHT = {"rnk": 2, "user_id": "a", "team_name": "T", "total_score": 7}
WRONG = {**RIGHT, "total_score": Unreadable("NaN")}


def difference(*alternatives: Causes, shown: Row | None, right: Row | None, sink: Sink = Sink.POSTGRES) -> Difference:
    evidence = {KEY: {"rnk": 2}, SHOWN: shown, OTHER_SHOWS: right}
    return replace(bare(sink), rank=2, alternatives=alternatives, evidence=evidence, action="act")


def bare(sink: Sink) -> Difference:
    return Difference("top_players", sink, DifferenceKind.VALUE, None, ("a",), None, None, None, "because")


def planned(*found: Difference) -> RepairPlan:
    result = BoardResult("top_players", Sink.POSTGRES, 10, found)
    run = ReconciliationRun(
        run_id="r",
        mode=Mode.BRACKET,
        verdict=Verdict.DIFFERENT,
        reason="",
        started_at=datetime.now(UTC),
        seconds=0,
        topics=(TopicProof("user-score", Verdict.DIFFERENT, "", ("top_players",), (result,)),),
        descriptions={"top_players": BOARD},
    )
    return plan_repair(run)


def test_missing_wrong_and_superfluous_rows():
    for shown, right, action in (
        (None, RIGHT, RepairAction.UPSERT),
        (WRONG, RIGHT, RepairAction.UPSERT),
        (RIGHT, None, RepairAction.DELETE),
    ):
        for cause in (Cause.SINK_LAG, Cause.EDITED_BY_HAND, Cause.STALE_ROW):
            [step] = planned(difference((cause,), shown=shown, right=right)).steps
            assert (step.rank, step.action, step.right) == (2, action, right)


def test_two_differences_of_one_row_are_one_step():
    one = difference((Cause.EDITED_BY_HAND,), shown=WRONG, right=RIGHT)
    assert len(planned(one, replace(one, kind=DifferenceKind.MISSING)).steps) == 1


def test_a_record_whose_key_names_no_row_gets_a_tombstone():
    record = RecordAt("top-players", 0, 9, b"not json")
    foreign = replace(bare(Sink.KAFKA), alternatives=((Cause.EDITED_BY_HAND,),), evidence={"record": record})
    [step] = planned(foreign).steps
    assert (step.rank, step.action, step.record) == (None, RepairAction.DELETE, record)


def test_the_record_of_a_kafka_row_is_what_must_still_be_the_newest():
    shown = SinkRow(WRONG)
    shown.record = RecordAt("top-players", 0, 5, b'{"rnk": 2}')
    [step] = planned(difference((Cause.EDITED_BY_HAND,), shown=shown, right=RIGHT, sink=Sink.KAFKA)).steps
    assert step.record == shown.record


def test_what_is_left_alone():
    unexplained = difference(shown=WRONG, right=RIGHT)
    own = difference((Cause.DUPLICATE,), shown=RIGHT, right=RIGHT)
    either = difference((Cause.EDITED_BY_HAND,), (Cause.DUPLICATE,), shown=RIGHT, right=RIGHT)
    neither = difference((Cause.EDITED_BY_HAND,), shown=WRONG, right=WRONG)
    spread = difference((Cause.EDITED_BY_HAND,), shown=WRONG, right=RIGHT)
    spread = replace(spread, evidence={**spread.evidence, OTHER_IS_WRONG: True})
    plan = planned(unexplained, own, either, neither, spread)
    assert not plan.steps
    assert [one.why.partition(":")[0] for one in plan.left_alone] == [
        "nobody knows why it differs",
        "the job itself has it so",
        "the job itself has it so",
        "neither sink holds the job's row",
        "neither sink holds the job's row",
    ]


def test_both_causes_of_one_row_are_repaired_to_what_the_job_wrote():
    both = difference((Cause.DUPLICATE, Cause.EDITED_BY_HAND), shown=WRONG, right=RIGHT)
    assert [step.right for step in planned(both).steps] == [RIGHT]
