"""What should be in the registry, from the catalogue of event types. Topics and tables come ready from theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gamestream_dagster.catalogue.event_type import avro_schema
from gamestream_dagster.catalogue.sources import Source, load_sources
from gamestream_dagster.provisioning.game_subjects import game_subjects
from gamestream_dagster.provisioning.subjects import Subject


def load_subjects(sources: Mapping[str, Source] | None = None) -> dict[str, Subject]:
    """The subjects of the record values, by name: one for each event type of each stream.

    They are registered whatever the topic's format: a producer of Avro records finds its schema before the profile is
    switched, and under JSON nobody looks at them.

    Args:
        sources: default: every stream of the project.
    """
    subjects: dict[str, Subject] = {}
    for source in (load_sources() if sources is None else sources).values():
        for name, event in source.subjects.items():
            schema = avro_schema(event)
            optional = {field for field, described in event.fields.items() if not described.required}
            reader = _as_read(schema, optional)
            subjects[name] = Subject(name, schema, reader, source.topic, event.description)
        if source.game is not None:
            subjects |= game_subjects(source.topic, source.game)
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
