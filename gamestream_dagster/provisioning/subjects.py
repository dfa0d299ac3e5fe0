"""Registry subjects: each must hold a schema that the topic's readers can rely on, whoever registered it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gamestream_dagster.clients.registry import RegisteredSchema
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus

# What Avro's schema resolution allows a reader's type (left) to read from a writer's (right).
_READABLE_AS: dict[str, frozenset[str]] = {
    "long": frozenset({"long", "int"}),
    "double": frozenset({"double", "float", "long", "int"}),
    "float": frozenset({"float", "long", "int"}),
    "string": frozenset({"string", "bytes"}),
    "bytes": frozenset({"bytes", "string"}),
}


@dataclass(frozen=True)
class Subject:
    """One subject as it should be: records with its newest schema can be read as `reader`."""

    name: str
    schema: Mapping[str, Any]
    """Avro record to register when the subject is missing."""
    reader: Mapping[str, Any]
    """Avro record of our readers. A field with a default may be absent from the registered schema."""
    topic: str
    description: str = ""
    differences: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    """Why records of a registered Avro schema cannot be read; None: by the rules of Avro, as `reader`."""


class SchemaRegistry(Protocol):
    """The required part of `clients.registry.Registry`."""

    def latest(self, subject: str) -> RegisteredSchema | None:
        """Newest version."""
        ...

    def versions(self, subject: str) -> list[int]:
        """All versions."""
        ...

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Register; returns the id."""
        ...

    def delete(self, subject: str) -> list[int]:
        """Delete for good."""
        ...


class SubjectProvider:
    """Subjects of the schema registry."""

    kind = ResourceKind.SUBJECT

    def __init__(self, specs: Mapping[str, Subject], registry: SchemaRegistry) -> None:
        self._specs = specs
        self._registry = registry

    def names(self) -> list[str]:
        """Subjects of the catalogue."""
        return list(self._specs)

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """Their states; one request each."""
        return [subject_status(self._specs[name], self._registry.latest(name)) for name in names]

    def create(self, name: str) -> None:
        """Register the catalogue's schema. The registry's compatibility rules stay unchanged."""
        self._registry.register(name, self._specs[name].schema)

    def holdings(self, name: str) -> str | None:
        """The number of versions, and their purpose."""
        versions = self._registry.versions(name)
        if not versions:
            return None
        count = "1 version" if len(versions) == 1 else f"{len(versions)} versions"
        return f"{count}; Avro records already written with it can no longer be read"

    def delete(self, name: str) -> None:
        """Delete all its versions."""
        self._registry.delete(name)


def subject_status(spec: Subject, found: RegisteredSchema | None) -> ResourceStatus:
    """Compare one subject. Pure."""
    kind = ResourceKind.SUBJECT
    if found is None:
        change = f"register the schema of {spec.topic}, {len(spec.schema['fields'])} fields"
        return ResourceStatus(kind, spec.name, ResourceState.MISSING, change=change)
    facts = {"version": found.version, "schema_id": found.schema_id, "record": _full_name(found.schema)}
    if found.schema_type != "AVRO":
        differences: tuple[str, ...] = (f"holds a {found.schema_type} schema, should hold AVRO",)
    else:
        compare = spec.differences or (lambda writer: unreadable(spec.reader, writer))
        differences = compare(found.schema)
    if differences:
        return ResourceStatus(kind, spec.name, ResourceState.DRIFTED, differences, facts=facts)
    remark = (
        () if _same_fields(spec.schema, found.schema) else (f"version {found.version} is another producer's; readable",)
    )
    return ResourceStatus(kind, spec.name, ResourceState.PRESENT, remark, facts=facts)


def unreadable(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> tuple[str, ...]:
    """Why records of `writer` cannot be read as `reader`, field by field, by the rules of Avro. Names are ignored."""
    if writer.get("type") != "record":
        return (f"is a {writer.get('type')}, should be a record",)
    written = {field["name"]: field for field in writer.get("fields", [])}
    problems = []
    for field in reader["fields"]:
        name = field["name"]
        if name not in written:
            if "default" not in field:
                problems.append(f"field {name} is missing, should be {_words(_types(field['type']))}")
            continue
        wanted, actual = _types(field["type"]), _types(written[name]["type"])
        if not all(any(_takes(one, other) for one in wanted) for other in actual):
            problems.append(f"field {name} is {_words(actual)}, should be {_words(wanted)}")
    return tuple(problems)


def _takes(reader: str, writer: str) -> bool:
    return writer in _READABLE_AS.get(reader, frozenset({reader}))


def _types(declared: Any) -> tuple[str, ...]:
    if isinstance(declared, list):
        return tuple(name for part in declared for name in _types(part))
    if isinstance(declared, Mapping):
        return _types(declared["type"])
    return (str(declared),)


def _words(types: tuple[str, ...]) -> str:
    return " or ".join(types)


def _same_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def shape(schema: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
        return [(field["name"], _types(field["type"])) for field in schema["fields"]]

    return shape(one) == shape(other)


def _full_name(schema: Mapping[str, Any]) -> str:
    namespace = schema.get("namespace")
    return f"{namespace}.{schema.get('name')}" if namespace else str(schema.get("name"))
