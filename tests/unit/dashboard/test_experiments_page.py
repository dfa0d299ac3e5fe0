"""The page Experiments: plans and kept certificates, whatever state they are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.pages.experiments.kept import Kept, read_kept
from gamestream_dagster.dashboard.pages.experiments.view import panels, tiles
from gamestream_dagster.experiments.certificate import ExperimentCertificate, certify_file
from gamestream_dagster.experiments.kept import keep
from gamestream_dagster.experiments.plan import load_plan
from gamestream_dagster.experiments.player_file import PlayerFile
from gamestream_dagster.settings import Settings, load_settings

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
PLAN = """
experiment: gate
control: a
variants: {a: 1, b: 1}
metrics: {kept: {kind: proportion, role: primary, column: kept}, rounds: {kind: mean, column: rounds}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "gate.yaml").write_text(PLAN, encoding="utf-8")
    return folder


def certificate(plans: Path, a: int = 1000, b: int = 1000, kept_b: int = 4) -> ExperimentCertificate:
    """Players of whom 3 of 10 are kept in `a`, and `kept_b` of 10 in `b`."""
    lines = ["userid,version,kept,rounds"]
    lines += [f"a{n},a,{int(n % 10 < 3)},{n % 7}" for n in range(a)]
    lines += [f"b{n},b,{int(n % 10 < kept_b)},{n % 7}" for n in range(b)]
    path = plans / "players.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return certify_file(PlayerFile(path), load_plan(plans / "gate.yaml"), NOW)


def html(kept: list[Kept]) -> str:
    return drawn("auto", tiles(kept), panels(kept, NOW + timedelta(hours=1)))


def test_without_experiments_the_page_leads_to_the_first_one(settings: Settings, tmp_path: Path) -> None:
    kept = list(read_kept(settings, tmp_path / "none"))
    assert kept == []
    assert "gamestream experiment FILE.csv" in html(kept)
    assert "manual?page=experiments#a-worked-example" in html(kept)


def test_a_plan_without_a_readout_waits(settings: Settings, plans: Path) -> None:
    [one] = read_kept(settings, plans)
    assert one.certificate is None
    assert "no readout yet" in html([one])


def test_a_readout_shows_arms_differences_intervals_and_its_certificate(settings: Settings, plans: Path) -> None:
    made = certificate(plans)
    keep(settings, "gate", made)
    [one] = read_kept(settings, plans)
    text = html([one])
    for part in ("split ok", "better", "40.0 %", "95 % interval", "corrected p", made.digest[:12]):
        assert part in text, part
    assert "gamestream certificate verify" in text
    assert "--data players.csv" in text
    assert one.is_frozen


def test_a_changed_plan_is_told(settings: Settings, plans: Path) -> None:
    keep(settings, "gate", certificate(plans))
    (plans / "gate.yaml").write_text(PLAN + "alpha: 0.01\n", encoding="utf-8")
    [one] = read_kept(settings, plans)
    assert not one.is_frozen
    assert "not the frozen one" in html([one])


def test_a_broken_split_shows_no_difference(settings: Settings, plans: Path) -> None:
    keep(settings, "gate", certificate(plans, b=600))
    [one] = read_kept(settings, plans)
    text = html([one])
    assert "blocked" in text
    assert "split block" in text
    assert "corrected p" not in text


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "experiment"}', "", "\x00"])
def test_a_file_that_is_no_certificate_is_told_and_hides_nothing(settings: Settings, plans: Path, content: str) -> None:
    keep(settings, "gate", certificate(plans))
    (settings.home / "experiments" / "other.json").write_text(content, encoding="utf-8")
    kept = list(read_kept(settings, plans))
    assert [one.name for one in kept] == ["gate", "other"]
    assert kept[1].problem
    assert "better" in html(kept)


def test_a_plan_that_cannot_be_read_is_told(settings: Settings, plans: Path) -> None:
    (plans / "gate.yaml").write_text("experiment: <script>\n", encoding="utf-8")
    [one] = read_kept(settings, plans)
    assert one.problem
    assert "<script" not in html([one])
