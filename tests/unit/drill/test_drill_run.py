"""A drill goes on while the jobs run, and reports what it has played however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.drill import run as module
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.model import BackBy, Boards, DrillVerdict, JobOutcome, ScenarioResult
from gamestream_dagster.drill.run import DrillOptions, drill
from gamestream_dagster.drill.scenarios import choose
from gamestream_dagster.drill.site import Site
from gamestream_dagster.settings import load_settings

RIGHT = Boards("MATCH", "", 80, 0, 1000, 1000, 0, 0, True)
JOB = JobOutcome("totals_v1", BackBy.MANAGER, 12.0, 30.0, "chk-7", "chk-7", True)
HELD = ScenarioResult("", "", "", 1, datetime(2026, 1, 1, tzinfo=UTC), 40.0, (JOB,), RIGHT)
LOST = replace(HELD, jobs=(replace(JOB, back_seconds=None),))
NOT_TRIED = replace(HELD, jobs=(), boards=None, could_not="a condition did not come about")


class Played:
    """Gives results one after the other."""

    def __init__(self, *results: ScenarioResult | type[BaseException]) -> None:
        self.results = list(results)
        self.names: list[str] = []

    def __call__(self, site: Site, scenario: Any, number: int) -> ScenarioResult:
        self.names.append(f"{scenario.name} {number}")
        result = self.results.pop(0)
        if isinstance(result, type):
            raise result
        return replace(result, name=scenario.name, number=number)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    @contextmanager
    def site(settings: Any, options: Any, say: Any) -> Iterator[Site]:
        overview = type("Overview", (), {"version": "2.3.0"})
        flink = type("Flink", (), {"overview": staticmethod(lambda: overview)})
        witness: Any = type("Witness", (), {"flink": flink})
        yield Site(settings, ["totals_v1"], None, None, witness, say)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_site", site)
    monkeypatch.setattr(module, "_fault_free", lambda _: RIGHT)

    def run(played: Played, repeat: int = 1):
        monkeypatch.setattr(module, "play", played)
        options = DrillOptions(choose(("taskmanager", "jobmanager", "broker")), repeat)
        return drill(load_settings(home=tmp_path, port_base=21000), options)

    return run


def test_every_scenario_is_played_as_often_as_asked(play) -> None:
    played = Played(*[HELD] * 6)
    run = play(played, repeat=2)
    assert (run.verdict, len(run.results)) == (DrillVerdict.HELD, 6)
    assert played.names == [f"{name} {turn}" for turn in (1, 2) for name in ("taskmanager", "jobmanager", "broker")]
    assert [one.count for one in run.times] == [2, 2, 2]


def test_one_that_could_not_be_tried_does_not_end_the_drill_and_two_in_a_row_do(play) -> None:
    run = play(Played(NOT_TRIED, HELD, HELD))
    assert (run.verdict, len(run.results)) == (DrillVerdict.COULD_NOT_RUN, 3)
    assert run.could_not == ""
    assert "no more can be tried" in play(Played(NOT_TRIED, NOT_TRIED, HELD)).could_not


def test_a_job_that_is_not_back_ends_the_drill(play) -> None:
    run = play(Played(HELD, LOST, HELD))
    assert (run.verdict, len(run.results)) == (DrillVerdict.NOT_HELD, 2)
    assert "after jobmanager the jobs do not run" in run.could_not


def test_what_was_played_before_an_interrupt_is_reported(play) -> None:
    run = play(Played(HELD, KeyboardInterrupt))
    assert (run.verdict, len(run.results), run.could_not) == (DrillVerdict.COULD_NOT_RUN, 1, "it was interrupted")
    assert run.exit_code == 2


def test_a_stack_that_cannot_be_used_is_told(play, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Site) -> Boards:
        raise DrillError("the jobs run: not within 120 s")

    monkeypatch.setattr(module, "_fault_free", broken)
    assert play(Played()).could_not == "the jobs run: not within 120 s"
    monkeypatch.setattr(module, "_fault_free", lambda _: replace(RIGHT, rows_different=1, reason="1 row differs"))
    run = play(Played())
    assert run.could_not == "the boards are not right before any fault: 1 row differs"
    assert run.exit_code == 2


def test_reports_are_named_only_where_they_outlive_the_drill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = replace(RIGHT, report=tmp_path / "page.html")
    played = module.DrillRun("r", HELD.started_at, 1.0, 5, 100.0, 30.0, 3, page, (replace(HELD, boards=page),))

    @contextmanager
    def ground(*_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(module, "new_sandbox", ground)
    monkeypatch.setattr(module, "kept_sandbox", ground)
    monkeypatch.setattr(module, "drill", lambda *_: played)
    for on, kept in [(None, None), (tmp_path, page.report)]:
        run = module.drill_on(on, None, DrillOptions(()))
        assert run.results[0].boards
        assert run.fault_free
        assert (run.fault_free.report, run.results[0].boards.report) == (kept, kept)
