"""The streams of score events and of game events, and the former in a test's own topic."""

from __future__ import annotations

from dataclasses import replace

from gamestream_dagster.catalogue.sources import Source, load_sources, source_of_event
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.settings import TopicFormat

SCORES = source_of_event("score", load_sources())
SCORE_TOPIC = SCORES.topic
GAME_EVENTS = load_sources()[RAW_TOPIC]


def scores_in(topic: str, encoding: TopicFormat = TopicFormat.JSON) -> Source:
    """The stream of score events, read from another topic."""
    return replace(SCORES, topic=topic, format=encoding)
