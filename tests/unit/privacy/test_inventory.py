"""The inventory says of every field of the catalogue whether it is personal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gamestream_dagster.archive.erasing import NAMES_OTHERS, PLAYER_FIELDS
from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.privacy.inventory import Kind, faults, load_inventory, of_kind
from gamestream_dagster.privacy.report import PAGE, page_with_inventory


def test_every_field_of_the_catalogue_is_in_the_inventory() -> None:
    assert list(faults(load_inventory())) == []


def test_a_field_without_an_entry_is_named() -> None:
    known = load_inventory()
    score = {name: kind for name, kind in known.events["score"].items() if name != "team_id"}
    lacking = replace(known, events={**known.events, "score": score}, jobs={})
    said = list(faults(lacking))
    assert "privacy/inventory/events.yaml says nothing of score.team_id" in said
    assert "privacy/inventory/jobs.yaml says nothing of leaderboards_v1" in said


def test_an_entry_of_what_is_gone_is_named() -> None:
    known = load_inventory()
    more = replace(known, topics={**known.topics, "gone": Kind.NONE})
    assert list(faults(more)) == ["privacy/inventory/topics.yaml: there is no gone"]


def test_the_search_knows_every_field_that_holds_an_id() -> None:
    known, game = load_inventory(), load_game_events()
    ids = {
        field
        for part in (known.events, known.streams)
        for fields in part.values()
        for field in of_kind(fields, Kind.PLAYER, Kind.OTHER)
    }
    synonyms = set(game.fields["user_id"].synonyms)
    others = {
        name: one.properties[name]
        for kind, one in game.types.items()
        for name in of_kind(known.events[f"game_event.{kind}"], Kind.OTHER)
    }
    assert others.keys() == NAMES_OTHERS
    synonyms |= {synonym for field in others.values() for synonym in field.synonyms}
    assert ids | synonyms == PLAYER_FIELDS


def test_the_page_shows_the_inventory_as_it_is() -> None:
    assert Path(PAGE).read_text(encoding="utf-8") == page_with_inventory()
