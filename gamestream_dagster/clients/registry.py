"""The schema registry, by the REST API of Confluent's (Apicurio and Redpanda speak it too)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from gamestream_dagster.clients.errors import (
    AlreadyExistsError,
    NotFoundError,
    ServiceError,
    TerminalServiceError,
    TransientServiceError,
)
from gamestream_dagster.connections import RegistryConnection

# Answers that a registry gives while it starts, or when it is behind a busy proxy.
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class SchemaReference:
    """Another subject's version that a schema takes named types from."""

    subject: str
    version: int


@dataclass(frozen=True)
class StoredSchema:
    """A schema as its author wrote it."""

    text: str
    schema_type: str
    references: tuple[SchemaReference, ...]


@dataclass(frozen=True)
class RegisteredSchema:
    """One version of a subject."""

    subject: str
    version: int
    """Starts at 1 in each subject."""
    schema_id: int
    """The number that stands in the five bytes before each encoded record."""
    schema: Mapping[str, Any]
    """Parsed; empty where it is no JSON (Protobuf)."""
    schema_type: str = "AVRO"
    references: tuple[SchemaReference, ...] = ()


class Registry:
    """Subjects and schemas of one registry. Use as a context manager, or `close` it.

    Args:
        connection: root of the Confluent-compatible API, and the login.
        timeout_seconds: limit of one request; each is tried three times when the registry does not answer.

    Every method raises `TransientServiceError` when there is no answer and `TerminalServiceError` when the registry
    refuses.
    """

    def __init__(
        self, connection: RegistryConnection, timeout_seconds: float = 5, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = connection.url
        self.timeout_seconds = timeout_seconds
        self._http = httpx.Client(
            base_url=self.url + "/",
            timeout=timeout_seconds,
            transport=transport,
            **connection.http,
            headers={
                "Accept": "application/vnd.schemaregistry.v1+json, application/json",
                "Content-Type": "application/vnd.schemaregistry.v1+json",
            },
        )

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def subjects(self) -> list[str]:
        """Names of all subjects, sorted."""
        return sorted(self._request("GET", "subjects"))

    def versions(self, subject: str) -> list[int]:
        """Versions of a subject, oldest first; empty when there is no such subject."""
        try:
            return sorted(self._request("GET", f"subjects/{_part(subject)}/versions"))
        except NotFoundError:
            return []

    def latest(self, subject: str) -> RegisteredSchema | None:
        """Newest version of a subject; None when the registry answers that there is none."""
        try:
            answer = self._request("GET", f"subjects/{_part(subject)}/versions/latest")
        except NotFoundError:
            return None
        stored = _stored(answer)
        return RegisteredSchema(
            subject=subject,
            version=int(answer["version"]),
            schema_id=int(answer["id"]),
            schema=_parsed(stored.text),
            schema_type=stored.schema_type,
            references=stored.references,
        )

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Register an Avro schema; returns its id. The same schema again gives the same id and no new version.

        Raises:
            AlreadyExistsError: the registry's compatibility rule refuses it beside the versions that are there.
        """
        answer = self._request(
            "POST", f"subjects/{_part(subject)}/versions", {"schema": json.dumps(schema), "schemaType": "AVRO"}
        )
        return int(answer["id"])

    def is_compatible(self, subject: str, schema: Mapping[str, Any]) -> bool:
        """Whether the registry would take `schema` as the next version; True for a subject that does not exist."""
        path = f"compatibility/subjects/{_part(subject)}/versions/latest"
        try:
            answer = self._request("POST", path, {"schema": json.dumps(schema), "schemaType": "AVRO"})
        except NotFoundError:
            return True
        return bool(answer["is_compatible"])

    def schema_by_id(self, schema_id: int) -> Mapping[str, Any]:
        """The Avro schema with this id.

        Raises:
            NotFoundError: no schema has it.
        """
        return _parsed(self._request("GET", f"schemas/ids/{schema_id}")["schema"])

    def stored_schema(self, schema_id: int) -> StoredSchema:
        """The schema with this id, of any type.

        Raises:
            NotFoundError: no schema has it.
        """
        return _stored(self._request("GET", f"schemas/ids/{schema_id}"))

    def referred(self, reference: SchemaReference) -> StoredSchema:
        """The schema that a reference names.

        Raises:
            NotFoundError: the version is gone.
        """
        path = f"subjects/{_part(reference.subject)}/versions/{reference.version}"
        return _stored(self._request("GET", path))

    def delete(self, subject: str) -> list[int]:
        """Delete a subject with all its versions, for good; returns the versions that went.

        Raises:
            NotFoundError: there is none.
        """
        gone = self._request("DELETE", f"subjects/{_part(subject)}")
        with suppress(NotFoundError):  # a registry without soft deletion has deleted it for good already
            self._request("DELETE", f"subjects/{_part(subject)}?permanent=true")
        return sorted(gone)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        tries = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_fixed(_PAUSE_SECONDS),
            retry=retry_if_exception_type(TransientServiceError),
            reraise=True,
        )
        return tries(self._single_request, method, path, body)

    def _single_request(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        what = f"{method} {path.partition('?')[0]}"
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            how = (
                f"no answer within {self.timeout_seconds:g} s"
                if isinstance(error, httpx.TimeoutException)
                else ("nothing listens" if isinstance(error, httpx.ConnectError) else "the connection broke")
            )
            raise TransientServiceError(
                "Registry", f"{how} at {self.url}", "start it with `gamestream up`, or look with `gamestream status`"
            ) from error
        if response.is_success:
            try:
                return response.json()
            except ValueError as error:
                raise TerminalServiceError(
                    "Registry", f"{self.url} does not answer in JSON", "check that the address is a schema registry's"
                ) from error
        raise self._refusal(response, what)

    def _refusal(self, response: httpx.Response, what: str) -> ServiceError:
        try:
            said = str(response.json().get("message", ""))
        except (ValueError, AttributeError):
            said = ""
        reason = f"{what} answered {response.status_code}" + (f" ({said[:300]})" if said else "")
        status = response.status_code
        if status in _RETRYABLE_STATUS:
            return TransientServiceError("Registry", reason, "try again in a moment, or see `gamestream logs registry`")
        if status == 404:
            return NotFoundError("Registry", reason, "see what is there with `gamestream plan`")
        if status == 409:
            return AlreadyExistsError("Registry", reason, "change the schema so that both sides can read each other")
        if status in (401, 403):
            return TerminalServiceError("Registry", reason, "put user and password into GAMESTREAM_REGISTRY_URL")
        return TerminalServiceError("Registry", reason, "mend the request, or the registry's rules, and try again")


def _part(text: str) -> str:
    return quote(text, safe="")


def _stored(answer: Any) -> StoredSchema:
    references = tuple(
        SchemaReference(str(one["subject"]), int(one["version"])) for one in answer.get("references") or ()
    )
    return StoredSchema(str(answer["schema"]), answer.get("schemaType") or "AVRO", references)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):  # Protobuf is no JSON
        return {}
    # Avro allows a bare type name as a schema.
    return parsed if isinstance(parsed, dict) else {"type": parsed}
