"""Players from archived exposures: who is in which arm, what counts afterwards, and the certificate of a cut."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.experiments.archive_players import archived_players
from gamestream_dagster.experiments.certificate import Part, certify_archive, verify_experiment
from gamestream_dagster.experiments.errors import PlanError, PlayersError
from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.experiments.readout import Status
from gamestream_dagster.experiments.sample import Sample
from gamestream_dagster.settings import Settings, load_settings
from tests.support.experiment_events import HOUR, METRICS, START, archive, bought, crowd, exposed, levels
from tests.support.experiment_worlds import plan


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


def planned(**changes: Any) -> Plan:
    return plan(**{"metrics": METRICS, "exposure": {"window": "1h"}} | changes)


def read(settings: Settings, of: Plan) -> Sample:
    with archived_players(settings) as players:
        return players.sample(of)


def totals(sample: Sample) -> dict[str, tuple[float, ...]]:
    return {arm.variant: (arm.players, *(one.total for one in arm.metrics.values())) for arm in sample.arms}


def story() -> list[dict[str, Any]]:
    twice = bought("ann", 10)
    return [
        bought("ann", -10),  # before the exposure
        exposed("ann", "a"),
        bought("ann", 0),  # at its moment: neither before nor after
        twice,
        twice,  # a copy counts once
        bought("ann", HOUR, "1.25"),  # the last moment of the window
        bought("ann", HOUR + 1, "100"),  # after it
        levels("ann", 20),
        levels("ann", 30),
        exposed("ann", "a", 40),  # the first exposure counts
        exposed("bob", "b"),
        bought("bob", 5, environment="sandbox"),
        exposed("cid", "a"),
        exposed("cid", "b", 5),  # in two variants
        bought("cid", 9),
        exposed("dan", "b", environment="sandbox"),
        exposed("eve", "b", experiment="another"),
        exposed("fay", "b", 2 * HOUR),
        bought("fay", 2 * HOUR + 1),
        exposed("gus", "b", 3 * HOUR + 1),  # one millisecond short of the window
        levels("zoe", 4 * HOUR),  # never exposed; how far the archive goes
    ]


def test_a_story_by_hand(settings: Settings):
    archive(settings, story())
    found = read(settings, planned())
    assert totals(found) == {"a": (1, 1, 3.75, 2), "b": (2, 1, 2.5, 0)}
    assert (found.crossovers, found.waiting) == (1, 1)


def test_events_of_a_player_in_two_partitions_and_out_of_order(settings: Settings):
    events = story()
    archive(settings, reversed(events[::2]), partition=1)
    archive(settings, events[1::2])
    assert totals(read(settings, planned())) == {"a": (1, 1, 3.75, 2), "b": (2, 1, 2.5, 0)}


def test_without_a_window_everything_after_the_exposure_counts(settings: Settings):
    archive(settings, story())
    found = read(settings, planned(exposure={}))
    assert totals(found) == {"a": (1, 1, 103.75, 2), "b": (3, 1, 2.5, 0)}
    assert found.waiting == 0


def test_exposures_before_the_start_and_after_the_end_are_none(settings: Settings):
    archive(
        settings, [exposed("ann", "b", -5), exposed("ann", "a", 10), exposed("bob", "b", 20), exposed("cid", "b", 50)]
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    span = {"from": epoch + timedelta(milliseconds=START), "until": epoch + timedelta(milliseconds=START + 50)}
    found = read(settings, planned(exposure=span))
    assert {variant: counts[0] for variant, counts in totals(found).items()} == {"a": 1, "b": 1}
    assert found.crossovers == 0


def test_what_players_did_before_is_the_covariate_of_means(settings: Settings):
    events = [
        *(exposed(f"p{number}", "ab"[number % 2], 2 * HOUR) for number in range(8)),
        *(bought(f"p{number}", 10, str(number)) for number in range(8)),  # before
        *(bought(f"p{number}", 2 * HOUR + 1, str(2 * number + number % 2)) for number in range(8)),
        bought("p0", 2 * HOUR, "7"),  # at the moment of the exposure
        levels("zoe", 4 * HOUR),
    ]
    archive(settings, events)
    a, b = read(settings, planned(exposure={"window": "1h", "pre_period": "2h"})).arms
    assert a.metrics["bought"].before is None
    before = a.metrics["spent"].before
    assert before is not None
    assert (before.total, before.variance) == (pytest.approx(0 + 2 + 4 + 6), pytest.approx(20 / 3))
    assert before.covariance == pytest.approx(2 * 20 / 3)
    assert b.metrics["spent"].total == pytest.approx(2 * (1 + 3 + 5 + 7) + 4)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"x": {"kind": "mean", "role": "primary"}}, "`metrics.x` has no `event`"),
        ({"x": {"kind": "mean", "role": "primary", "event": "nap"}}, "'nap', which is no event type"),
        (
            {"x": {"kind": "mean", "role": "primary", "event": "item_purchase", "sum": "item"}},
            "no number of item_purchase; its numbers are: price, price_usd",
        ),
    ],
)
def test_a_plan_that_measures_what_no_event_has(settings: Settings, metrics: dict[str, Any], said: str):
    archive(settings, story())
    with pytest.raises(PlanError, match=said):
        read(settings, planned(metrics=metrics))


def test_nobody_exposed_and_unknown_variants_are_errors(settings: Settings):
    with pytest.raises(PlayersError, match="has no exposure to 'gate' that counts"):
        read(settings, planned())
    archive(settings, [*story(), exposed("hal", "c")])
    with pytest.raises(PlayersError, match="1 players of 'gate' were exposed to 'c', the plan has a, b"):
        read(settings, planned())
    with pytest.raises(PlayersError, match="no exposure to 'door'"):
        read(settings, planned(experiment="door"))


def test_the_certificate_of_a_cut_agrees_until_the_archive_differs(settings: Settings, tmp_path: Path):
    archive(settings, crowd())
    made = certify_archive(settings, planned())
    assert made.readout.status is Status.READ
    assert made.cut is not None
    assert made.cut.offsets == {0: load_manifest(settings.archive_dir / RAW_TOPIC).current.archived_upto[0]}
    assert verify_experiment(made, settings, tmp_path) == []
    # What comes later changes nothing at the cut.
    archive(settings, [exposed("late", "a", HOUR), bought("p0", 20), levels("zoe", 9 * HOUR)])
    assert verify_experiment(made, settings, tmp_path) == []
    assert certify_archive(settings, planned()).readout != made.readout
    shutil.rmtree(settings.archive_dir / RAW_TOPIC)
    assert [one.part for one in verify_experiment(made, settings, tmp_path)] == [Part.OFFSETS]
    archive(settings, [*crowd()[:-2], levels("zoe", 4 * HOUR), levels("zoe", 4 * HOUR)])
    found = {one.part for one in verify_experiment(made, settings, tmp_path)}
    assert Part.ARCHIVE in found


def test_a_horizon_in_time_is_compared_with_the_archive_and_not_with_the_clock(settings: Settings):
    archive(settings, crowd())
    made = certify_archive(settings, planned(stop={"horizon": {"date": "2020-01-01T00:00:00Z"}}))
    assert made.readout.status is Status.READ
    assert round(made.readout.as_of.timestamp() * 1000) == START + 4 * HOUR - (START + 4 * HOUR) % 1000
    later = planned(stop={"horizon": {"date": "2126-01-01T00:00:00Z"}})
    assert certify_archive(settings, later).readout.status is Status.EARLY
