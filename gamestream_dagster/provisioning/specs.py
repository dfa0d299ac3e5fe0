"""What should be in the registry, from the catalogue of event types. Topics and tables come ready from theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        optional = {name for name, field in event.fields.items() if not field.required}
        reader = _as_read(schema, optional)
        subjects[event.subject] = Subject(event.subject, schema, reader, event.topic, event.description)
    return subjects


def _as_read(schema: Mapping[str, Any], optional: Collection[str]) -> dict[str, Any]:
    """The schema as our readers take it: whole numbers as 64 bits; a field that is not required may be absent."""
    fields = [{**field, "type": "long"} if field["type"] == "int" else field for field in schema["fields"]]
    fields = [
        {**field, "type": ["null", *_listed(field["type"])], "default": None} if field["name"] in optional else field
        for field in fields
    ]
    return {**schema, "fields": fields}


def _listed(kind: Any) -> list[Any]:
    return [one for one in kind if one != "null"] if isinstance(kind, list) else [kind]
