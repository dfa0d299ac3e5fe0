"""`gamestream experiment` and `gamestream certificate verify` of what it wrote."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from gamestream_dagster.cli.main import main
from tests.support.experiment_worlds import players, write_players

PLAN = """
experiment: gate
control: gate_30
variants: {gate_30: 1, gate_40: 1}
metrics:
  retention_7: {kind: proportion, role: primary}
  sum_gamerounds: {kind: mean}
stop:
  horizon: {players: 2000}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_players(
        tmp_path / "players.csv", players({"gate_30": (1_000, 450, 190), "gate_40": (1_010, 440, 120)})
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def test_a_file_without_a_plan(capsys: pytest.CaptureFixture[str], data: Path):
    code, out, err = run(capsys, "experiment", data)
    assert code == 0
    assert "gate_30  1,000    49.75%  50.00%   450 (45.00%)  190 (19.00%)  10 (sd 1.001)" in out
    assert "SRM OK: chi-square 0.05, p 0.82, deviation 0.25%; 0 players in several arms left out" in out
    assert re.search(r"retention_7 +primary +gate_40 - gate_30 +-7\.12 points +-10\.\d\d to -3\.\d\d", out)
    last = out.splitlines()[-1]
    assert last.startswith("gate_40 is worse than gate_30: retention_7 -7.12 points (95 % interval")
    assert last.endswith("(no plan was given: exploratory).")
    assert "Done. READ SRM=OK PLAYERS=2010 CROSSOVERS=0 PLAN=" in err


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str], data: Path):
    code, out, _ = run(capsys, "experiment", data, "--json", "--control", "gate_40")
    found = json.loads(out)
    assert code == 0
    assert found["sentence"].startswith("gate_30 is better than gate_40: retention_7 +7.12 points")
    assert [arm["players"] for arm in found["arms"]] == [1000, 1010]
    assert found["arms"][0]["metrics"]["retention_1"] == {
        "successes": 450,
        "rate": 0.45,
        "mean": None,
        "standard_deviation": None,
    }
    assert {one["metric"] for one in found["comparisons"]} == {"retention_1", "retention_7", "sum_gamerounds"}
    assert {"low", "high", "p_value", "holm_p_value", "difference"} <= found["comparisons"][0].keys()
    assert found["split"]["status"] == "OK"
    assert found["libraries"]["tea-tasting"]
    assert len(found["plan_digest"]) == len(found["file"]["sha256"]) == 64


def test_a_peek_before_the_horizon_shows_no_result(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path):
    plan = tmp_path / "gate.yaml"
    plan.write_text(PLAN.replace("2000", "2011"))
    code, out, err = run(capsys, "experiment", data, "--plan", plan)
    assert code == 0
    assert "Too early: the plan waits for 2,011 players, 2,010 are in" in out
    assert "190" not in out
    assert "DIFFERENCE" not in out
    assert "EARLY" in err
    plan.write_text(PLAN)
    assert "gate_40 is worse than gate_30: retention_7" in run(capsys, "experiment", data, "--plan", plan)[1]


def test_a_planted_mismatch_is_blocked_with_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    data = write_players(tmp_path / "p.csv", players({"a": (2_000, 900, 400), "b": (3_300, 1_500, 600)}))
    code, out, err = run(capsys, "experiment", data)
    assert code == 1
    assert "SRM BLOCK" in out
    assert "Blocked: sample ratio mismatch" in out
    assert "DIFFERENCE" not in out
    assert "BLOCKED SRM=BLOCK" in err


def test_the_certificate_is_verified_as_advised(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path):
    (tmp_path / "certs").mkdir()
    for place in (tmp_path / "c.json", tmp_path / "certs" / "my c.json"):
        code, _, err = run(capsys, "experiment", data, "--certificate", place)
        assert code == 0
        advised = shlex.split(err.split("Next: ")[1])
        code, _, err = run(capsys, *advised[1:])
        assert code == 0, err
        assert "agrees: DISAGREEMENTS=0 PLAYERS=2010" in err
    data.write_text(data.read_text().replace("gate_30", "gate_40", 1))
    code, out, err = run(capsys, "certificate", "verify", place, "--data", data, "--json")
    assert code == 1
    assert [one["part"] for one in json.loads(out)] == ["DATA"]
    data.unlink()
    code, out, err = run(capsys, "certificate", "verify", tmp_path / "c.json")
    assert code == 2
    assert out.startswith("GONE")
    assert "does not agree" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.csv"], "There is no file none.csv"),
        (["players.csv", "--plan", "none.yaml"], "none.yaml cannot be read"),
        (["players.csv", "--plan", "players.csv"], "no plan"),
        (["players.csv", "--control", "gate_50"], "'gate_50' is no version"),
        (["players.csv", "--control", "a", "--plan", "b"], "leave out --control"),
        (["players.csv", "--certificate", "no/such/folder.json"], "cannot be written"),
    ],
)
def test_what_cannot_run_is_one_sentence(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.chdir(data.parent)
    code, out, err = run(capsys, "experiment", *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
