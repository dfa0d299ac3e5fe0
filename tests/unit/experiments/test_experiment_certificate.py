"""Certificates of experiments: what was made agrees, and each way in which one can disagree."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gamestream_dagster.experiments.certificate import (
    Disagreement,
    ExperimentCertificate,
    Part,
    certify_file,
    is_experiment,
    own_digest,
    read_experiment_certificate,
    verify_experiment,
)
from gamestream_dagster.experiments.errors import ExperimentCertificateError
from gamestream_dagster.experiments.player_file import PlayerFile, plan_of_file
from gamestream_dagster.settings import load_settings
from tests.support.experiment_worlds import players, write_players


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_players(tmp_path / "players.csv", players({"a": (200, 90, 40), "b": (210, 60, 30)}))


@pytest.fixture
def made(data: Path) -> ExperimentCertificate:
    source = PlayerFile(data)
    return certify_file(source, plan_of_file(source), datetime.now(UTC))


def parts(certificate: ExperimentCertificate, data: Path) -> list[Part]:
    return [one.part for one in verified(certificate, data)]


def verified(certificate: ExperimentCertificate, data: Path) -> list[Disagreement]:
    return verify_experiment(certificate, load_settings(home=data.parent), data.parent, data)


def resealed(certificate: ExperimentCertificate, **changes: object) -> ExperimentCertificate:
    """Changed by somebody who also writes the digest anew."""
    changed = certificate.model_copy(update=changes)
    return changed.model_copy(update={"digest": own_digest(changed)})


def test_what_was_made_agrees_after_a_journey(made: ExperimentCertificate, data: Path, tmp_path: Path):
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(made.model_dump(mode="json"), indent=2), encoding="utf-8")
    assert is_experiment(file)
    assert read_experiment_certificate(file) == made
    assert verified(made, data) == []


def test_another_plan_numbers_data_and_nothing_at_all(made: ExperimentCertificate, data: Path, tmp_path: Path):
    looser = made.plan.model_copy(update={"alpha": 0.2})
    found = parts(made.model_copy(update={"plan": looser}), data)
    assert found[:3] == [Part.FILE, Part.PLAN, Part.NUMBERS]
    assert {*found[3:]} == {Part.NUMBERS}
    again = verified(resealed(made, plan=looser, plan_digest=looser.digest), data)
    assert {one.part for one in again} == {Part.NUMBERS}
    better = made.readout.comparisons[0].model_copy(update={"p_value": 0.9})
    readout = made.readout.model_copy(update={"comparisons": [better, *made.readout.comparisons[1:]]})
    (found,) = verified(resealed(made, readout=readout), data)
    assert found.part is Part.NUMBERS
    assert found.sentence.startswith("`comparisons[0].p_value` is 0.9, the recompute says")
    data.write_text(data.read_text().replace("True", "False", 1))
    assert parts(made, data) == [Part.DATA]
    assert parts(made, tmp_path / "gone.csv") == [Part.GONE]


def test_other_versions_are_named_where_numbers_differ(made: ExperimentCertificate, data: Path):
    old = made.libraries | {"scipy": "0.1"}
    assert parts(resealed(made, libraries=old), data) == []
    readout = made.readout.model_copy(update={"players": 7})
    found = verified(resealed(made, libraries=old, readout=readout), data)
    assert "scipy 0.1 (now " in found[-1].sentence


def test_a_reading_in_the_future_is_found(made: ExperimentCertificate, data: Path):
    later = made.readout.model_copy(update={"as_of": datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)})
    found = verified(resealed(made, readout=later), data)
    assert [one.part for one in found] == [Part.FILE]


def test_the_order_of_a_sum_is_no_disagreement(made: ExperimentCertificate, data: Path):
    first = made.readout.comparisons[0]
    last_digit = first.model_copy(update={"difference": first.difference * (1 + 1e-15)})
    readout = made.readout.model_copy(update={"comparisons": [last_digit, *made.readout.comparisons[1:]]})
    assert parts(resealed(made, readout=readout), data) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 2, "board": "x"}', "\0"])
def test_other_files_are_no_certificates_of_experiments(tmp_path: Path, content: str):
    file = tmp_path / "some.json"
    file.write_text(content)
    assert not is_experiment(file)
    assert not is_experiment(tmp_path)
    assert not is_experiment(tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 9}, "has the version 9"),
        ({"plan": {}}, "`plan"),
        ({"stray": 1}, "`stray`"),
        ({"digest": 5}, "`digest`"),
    ],
)
def test_a_broken_certificate_is_one_sentence(made: ExperimentCertificate, tmp_path: Path, change: dict, said: str):
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(made.model_dump(mode="json") | change))
    with pytest.raises(ExperimentCertificateError, match=said):
        read_experiment_certificate(file)
