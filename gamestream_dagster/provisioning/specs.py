"""What should be in the registry, from the catalogue of event types. Topics and tables come ready from theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gamestream_dagster.events.event_types import avro_schema, load_event_types
from gamestream_dagster.provisioning.subjects import Subject


def load_subjects() -> dict[str, Subject]:
    """One subject for the record value of each event type, by name.

    They are registered whatever `score_format` says: a producer of Avro records finds its schema before the profile is
    switched, and under JSON nobody looks at them.
    """
    subjects = {}
    for event in load_event_types().values():
        schema = avro_schema(event)
        subjects[event.subject] = Subject(event.subject, schema, _as_read(schema), event.topic, event.description)
    return subjects


def _as_read(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as our readers take it: they read every whole number as 64 bits, so a producer may send `long`."""
    fields = [{**field, "type": "long"} if field["type"] == "int" else field for field in schema["fields"]]
    return {**schema, "fields": fields}
