"""Plans: what is accepted, what is refused with which sentence, and what the digest depends on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gamestream_dagster.experiments.errors import PlanError
from gamestream_dagster.experiments.plan import Plan, load_plan, plan_of
from tests.support.experiment_worlds import plan

TEXT = """
experiment: gate
control: a
variants: {a: 1, b: 1}
metrics:
  kept: {kind: proportion, role: primary}
stop:
  horizon: {players: 100}
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_comments_order_and_layout_do_not_change_the_digest(tmp_path: Path):
    other = """
stop: {horizon: {players: 100}}   # the same
metrics: {kept: {role: primary, kind: proportion}}
variants:
  b: 1
  a: 1
control: a
experiment: gate
"""
    first = load_plan(written(tmp_path, TEXT))
    assert first.digest == load_plan(written(tmp_path, other)).digest
    assert first == plan()


@pytest.mark.parametrize(
    "change",
    [
        {"variants": {"a": 1, "b": 2}},
        {"alpha": 0.01},
        {"stop": {"horizon": {"players": 101}}},
        {"metrics": {"kept": {"kind": "mean", "role": "primary"}}},
        {"metrics": {"kept": {"kind": "proportion", "role": "primary", "better": "lower"}}},
        {"control": "b"},
    ],
)
def test_every_decision_changes_the_digest(change):
    assert plan(**change).digest != plan().digest


def test_a_plan_survives_json():
    one = plan(
        stop={"horizon": {"date": datetime(2026, 12, 1, tzinfo=UTC)}},
        exposure={"from": datetime(2026, 11, 1, tzinfo=UTC), "window": "7d", "pre_period": "36h"},
    )
    assert Plan.model_validate_json(one.model_dump_json()) == one
    assert Plan.model_validate_json(one.model_dump_json()).digest == one.digest


def test_shares_add_up():
    assert plan(variants={"a": 1, "b": 1, "c": 1}).shares == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert plan(variants={"a": 0.8, "b": 0.2}).shares == pytest.approx({"a": 0.8, "b": 0.2})


def test_a_day_is_its_beginning_in_utc(tmp_path: Path):
    found = load_plan(written(tmp_path, TEXT.replace("{players: 100}", "{date: 2026-12-01}")))
    assert found.stop is not None
    assert found.stop.horizon.date == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variants": {"a": 1}}, "`variants` has 1"),
        ({"variants": {str(n): 1 for n in range(21)} | {"a": 1}}, "`variants` has 22"),
        ({"control": "c"}, "none of the variants a, b"),
        ({"variants": {"a": 0, "b": 1}}, "`variants.a`"),
        ({"variants": {"a": float("nan"), "b": 1}}, "`variants.a`"),
        ({"variants": {"a": float("inf"), "b": 1}}, "`variants.a`"),
        ({"variants": {True: 1, "a": 1}}, "in quotes"),
        ({"variants": {1: 1, "a": 1}}, "in quotes"),
        ({"metrics": {}}, "`metrics` has 0"),
        ({"metrics": {"kept": {"kind": "proportion"}}}, "nothing decides"),
        ({"metrics": {"kept": {"kind": "median", "role": "primary"}}}, "`metrics.kept.kind`"),
        ({"metrics": {"kept": {"kind": "mean", "role": "primary", "colum": "x"}}}, "`metrics.kept.colum`"),
        ({"stop": {"horizon": {}}}, "either `date` or `players`"),
        ({"stop": {"horizon": {"players": 5, "date": "2026-12-01T00:00:00Z"}}}, "either `date` or `players`"),
        ({"stop": {"horizon": {"players": -5}}}, "`stop.horizon.players`"),
        ({"stop": {"horizon": {"players": "many"}}}, "`stop.horizon.players`"),
        ({"stop": {}}, "either `horizon` or `sequential`"),
        ({"stop": {"sequential": {"players": 1}}}, "`stop.sequential.players`"),
        ({"exposure": {"window": 7}}, "not a duration"),
        ({"exposure": {"window": "0d"}}, "longer than 0"),
        ({"exposure": {"from": "2026-12-02T00:00:00Z", "until": "2026-12-01T00:00:00Z"}}, "not before"),
        ({"exposure": {"from": "2026-12-02T00:00:00"}}, "has no zone"),
        ({"metrics": {"kept": {"kind": "proportion", "role": "primary", "sum": "price"}}}, "belong to kind `mean`"),
        ({"metrics": {"kept": {"kind": "mean", "role": "primary", "sum": "price"}}}, "which is missing"),
        ({"alpha": 1.0}, "`alpha`"),
        ({"alpha": 0}, "`alpha`"),
        ({"power": 2}, "`power`"),
        ({"horizon": 3}, "`horizon`"),
        ({"experiment": " "}, "`experiment`"),
    ],
)
def test_a_wrong_plan_is_one_sentence_with_the_place(change, said):
    with pytest.raises(PlanError) as found:
        plan(**change)
    assert said in str(found.value)
    assert str(found.value).endswith("(docs/experiments.md has an example).")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT.replace("{a: 1, b: 1}", "{a: 1, a: 2}"), "'a' stands twice in line 4"),
        (TEXT + "control: b\n", "'control' stands twice"),
        ("- a\n- b\n", "no mapping"),
        ("", "no mapping"),
        ("a: [", "is not YAML"),
        ("? [a, b]\n: c\n", "is not YAML"),
        (b"\xff\xfe\x00", "is not"),
        pytest.param("a: " + "[" * 5000, "is not YAML", id="nested too deep"),
        pytest.param("x" * 300_000, "larger than any plan", id="too large"),
        ("a: !!python/object:os.system x", "is not YAML"),
    ],
    ids=["twice", "twice at the top", "list", "empty", "open", "list as key", "binary", "deep", "large", "object"],
)
def test_a_file_that_is_no_plan(tmp_path: Path, text: str | bytes, said: str):
    with pytest.raises(PlanError, match=said):
        load_plan(written(tmp_path, text))


def test_a_missing_file_and_a_folder(tmp_path: Path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(PlanError, match="cannot be read"):
            load_plan(path)


def test_what_is_left_out_is_named():
    with pytest.raises(PlanError, match="`control`: Field required"):
        plan_of({"experiment": "x"}, "here")
