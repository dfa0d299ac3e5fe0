"""The topics behind a job's state: the incarnation of each, and where the job started to read it.

A restore point holds offsets, which are meaningless in another incarnation of the topic. So a deployment records
the ids when it starts without state, and deployments that restore its state inherit them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gamestream_dagster.clients.topic_identity import TopicId, TopicState, incarnation, other_incarnation
from gamestream_dagster.flink_jobs.record.observed import OtherTopic

Inputs = Mapping[str, TopicState]
"""By topic: its id, and its oldest offset when the job started without state."""

AskIds = Callable[[Iterable[str]], Mapping[str, TopicId | None] | None]
"""Ids of the existing topics; None when Kafka does not answer."""


def stored_inputs(inputs: Inputs) -> dict[str, Any]:
    """As stored in a deployment record."""
    return {
        topic: {
            "topic_id": state.topic_id,
            "began": {str(partition): offset for partition, offset in state.beginnings.items()},
        }
        for topic, state in inputs.items()
    }


def kept_inputs(spec: Mapping[str, Any]) -> Inputs | None:
    """From a deployment record; None for one of an earlier version, or of an adopted job."""
    kept = spec.get("inputs")
    if kept is None:
        return None
    return {
        topic: TopicState(one["topic_id"], {int(partition): offset for partition, offset in one["began"].items()})
        for topic, one in kept.items()
    }


def inherited(kept: Inputs | None, now: Inputs) -> Inputs | None:
    """Inputs of a deployment that restores a state: topics unknown to the state start now."""
    return None if kept is None else {**now, **kept}


def other_topics(kept: Inputs | None, ids: Mapping[str, TopicId | None] | None) -> tuple[OtherTopic, ...]:
    """Topics that are certainly another incarnation than the state's, or gone."""
    if kept is None or ids is None:
        return ()
    return tuple(
        OtherTopic(topic, state.topic_id, ids.get(topic))
        for topic, state in sorted(kept.items())
        if topic not in ids or other_incarnation(state.topic_id, ids[topic])
    )


def gone_events(inputs: Inputs | None) -> str:
    """Offsets before the oldest ones in the topics, for display; empty when the topics hold all."""
    found = [
        f"{topic} p{partition}@0..{offset - 1}"
        for topic, state in sorted((inputs or {}).items())
        for partition, offset in sorted(state.beginnings.items())
        if offset
    ]
    return ", ".join(found)


def told(others: Iterable[OtherTopic]) -> str:
    """What happened to the topics, in one sentence without a full stop."""
    return "; ".join(_told(one) for one in others)


def _told(one: OtherTopic) -> str:
    if one.now is None:
        return f"the topic {one.topic} ({incarnation(one.kept)}) was deleted"
    return (
        f"the topic {one.topic} was deleted and created again: the job's state has read {incarnation(one.kept)}, Kafka "
        f"has {one.now}"
    )
