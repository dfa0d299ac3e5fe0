"""What the asset makes of a proof of intake: checks, metadata, the alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gamestream_dagster.fates.outputs import Fate
from gamestream_dagster.reconciliation.intake.model import FateFault, FateKind, Held, IntakeProof, OutputRead
from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from tests.support.fakes.dagster_runs import evaluations, failure, launch, metadata
from tests.support.fakes.verdicts import FakeVerdicts

ASSET = "reconciliation/intake"
MATCH = IntakeProof(
    Verdict.MATCH,
    "every record has its one fate",
    datetime(2026, 1, 1, tzinfo=UTC),
    low={0: 8},
    high={0: 10},
    fates={Fate.ENRICHED: 5, Fate.DEAD: 2, Fate.COPY: 1},
    held={Held.OPEN: 2},
    outputs=(OutputRead("game-events-enriched", 5, 0, 0, 0),),
)
FAULT = FateFault(
    FateKind.MISSING, 0, 3, 4, 2, Fate.ENRICHED, Cause.UNEXPLAINED, accepted=False, held_in=(), sentence="2 are missing"
)


class Reconciler:
    def __init__(self, proof: IntakeProof) -> None:
        self.proof = proof

    def prove_intake(self) -> IntakeProof:
        return self.proof


def test_a_match_passes_and_clears_the_alert() -> None:
    verdicts = FakeVerdicts()
    verdicts.alerts["intake/fates"] = ("critical", "old")
    result = launch(ASSET, reconciler=Reconciler(MATCH), verdicts=verdicts)
    assert result.success
    assert verdicts.alerts == {}
    assert {name: one.passed for (_, name), one in evaluations(result).items()} == {
        "one_fate": True,
        "no_unexplained": True,
    }
    shown = metadata(result, ASSET)
    assert (shown["records"], shown["enriched"], shown["copy"], shown["not_judged_open"]) == (8, 5, 1, 2)
    assert "| 0 | 8 | 10 |" in shown["cut"]


def test_a_difference_fails_the_checks_and_raises_the_alert() -> None:
    verdicts = FakeVerdicts()
    different = replace(
        MATCH, verdict=Verdict.DIFFERENT, reason="2 MISSING", faults=(FAULT,), fault_records={FateKind.MISSING: 2}
    )
    result = launch(ASSET, reconciler=Reconciler(different), verdicts=verdicts)
    assert result.success
    found = evaluations(result)
    assert not found[ASSET, "one_fate"].passed
    assert not found[ASSET, "no_unexplained"].passed
    assert verdicts.alerts["intake/fates"][0] == "critical"
    assert "2 are missing" in metadata(result, ASSET)["faults"]


def test_what_the_policy_accepts_is_a_warning() -> None:
    again = replace(FAULT, kind=FateKind.COUNTED_AGAIN, cause=Cause.DUPLICATE, accepted=True)
    proof = replace(MATCH, verdict=Verdict.EXPLAINED, faults=(again,), fault_records={FateKind.COUNTED_AGAIN: 2})
    found = evaluations(launch(ASSET, reconciler=Reconciler(proof)))
    assert (found[ASSET, "one_fate"].passed, found[ASSET, "one_fate"].severity.value) == (False, "WARN")
    assert found[ASSET, "no_unexplained"].passed


def test_a_proof_that_could_not_look_fails_the_run_and_says_nothing_else() -> None:
    verdicts = FakeVerdicts()
    verdicts.alerts["intake/fates"] = ("critical", "a difference")
    blind = IntakeProof(Verdict.COULD_NOT_RUN, "no checkpoint within 60 s", MATCH.started_at)
    result = launch(ASSET, reconciler=Reconciler(blind), verdicts=verdicts)
    assert not result.success
    assert failure(result) == "Nothing was compared: no checkpoint within 60 s"
    assert verdicts.alerts == {"intake/fates": ("critical", "a difference")}
    assert evaluations(result) == {}
