"""Requests to a Kafka cluster: each with a limit, and typed errors that say what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError as NativeError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from gamestream_dagster.clients.errors import (
    AlreadyExistsError,
    NotFoundError,
    ServiceError,
    TerminalServiceError,
    TransientServiceError,
)
from gamestream_dagster.connections import KafkaConnection

T = TypeVar("T")

_UNKNOWN_TOPIC = (NativeError.UNKNOWN_TOPIC_OR_PART, NativeError._UNKNOWN_TOPIC, NativeError._UNKNOWN_PARTITION)
_NO_ANSWER = (
    NativeError._TIMED_OUT,
    NativeError._TRANSPORT,
    NativeError._ALL_BROKERS_DOWN,
    NativeError._RESOLVE,
    NativeError._TIMED_OUT_QUEUE,
    NativeError.REQUEST_TIMED_OUT,
)
NO_COORDINATOR_YET = (
    NativeError.NOT_COORDINATOR,
    NativeError.COORDINATOR_NOT_AVAILABLE,
    NativeError.COORDINATOR_LOAD_IN_PROGRESS,
)
# Replies of a broker while it elects leaders; `retriable()` does not include them.
_MOMENTARY = (
    *NO_COORDINATOR_YET,
    NativeError.NOT_LEADER_FOR_PARTITION,
    NativeError.LEADER_NOT_AVAILABLE,
    NativeError.NOT_ENOUGH_REPLICAS,
    NativeError.NOT_CONTROLLER,
    NativeError.UNKNOWN_LEADER_EPOCH,
    NativeError.FENCED_LEADER_EPOCH,
    NativeError.KAFKA_STORAGE_ERROR,
)
_INHERITED: list[AdminClient] = []
"""Clients of a parent process. Closing one in a forked child would wait for ever for threads that do not exist."""
_REFUSED_LOGIN = (NativeError._AUTHENTICATION, NativeError._SSL)
_REFUSED_RIGHTS = (
    NativeError.TOPIC_AUTHORIZATION_FAILED,
    NativeError.CLUSTER_AUTHORIZATION_FAILED,
    NativeError.GROUP_AUTHORIZATION_FAILED,
    NativeError._AUTHENTICATION,
    NativeError.SASL_AUTHENTICATION_FAILED,
)


class KafkaRequests:
    """One client of a cluster, and how requests are made with it.

    Args:
        kafka: where the cluster is.
        timeout_seconds: limit of every single request.
    """

    def __init__(self, kafka: KafkaConnection, timeout_seconds: float = 10) -> None:
        self.kafka = kafka
        self.timeout_seconds = timeout_seconds
        self._native: AdminClient | None = None
        self._refusal = ""
        self._process = 0

    @property
    def native(self) -> AdminClient:
        """librdkafka's client, opened on first use."""
        if self._native is None or self._process != os.getpid():  # its threads do not live on in a forked process
            if self._native is not None:
                _INHERITED.append(self._native)
            self._native, self._process = AdminClient(self._connection("gamestream-admin")), os.getpid()
        return self._native

    def _connection(self, client_id: str) -> dict[str, str | int | float | bool]:
        return self.kafka.options(
            {
                "client.id": client_id,
                "error_cb": self._note,
                "socket.timeout.ms": int(self.timeout_seconds * 1000),
                "socket.connection.setup.timeout.ms": max(1000, int(self.timeout_seconds * 1000)),
                "reconnect.backoff.max.ms": 1000,
            }
        )

    def _note(self, error: NativeError) -> None:
        """Keep a refused login or certificate: the request itself only ends in a timeout."""
        if error.code() in _REFUSED_LOGIN:
            self._refusal = error.str()

    def _wait_for(self, look: Callable[[], T | None], late: str) -> T:
        deadline = time.monotonic() + self.timeout_seconds
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.05)
        raise TransientServiceError("Kafka", f"{late} after {self.timeout_seconds:g} s", "try again in a moment")

    def _call(self, request: Callable[[], T], what: str) -> T:
        try:
            found = request()
        except KafkaException as error:
            raise self._typed(error, what) from error
        self._refusal = ""
        return found

    def _result(self, future: Future[Any], what: str) -> Any:
        try:
            # The native request has the same limit; the second more is for its own report.
            return future.result(timeout=self.timeout_seconds + 1)
        except KafkaException as error:
            raise self._typed(error, what) from error
        except TimeoutError as error:
            raise self._no_answer(what) from error

    def _no_answer(self, what: str) -> ServiceError:
        if self._native is not None:
            self._native.poll(0)  # calls `_note`
        if self._refusal:
            return TerminalServiceError(
                "Kafka",
                f"{self.kafka} does not take the connection (to {what}): {self._refusal}",
                "check kafka_security_protocol, kafka_user and its password, and kafka_ca_file",
            )
        return TransientServiceError(
            "Kafka",
            f"no answer from {self.kafka} within {self.timeout_seconds:g} s (to {what})",
            "start it with `gamestream up`, or check with `gamestream status`",
        )

    def _typed(self, error: KafkaException, what: str) -> ServiceError:
        native: NativeError = error.args[0]
        code = native.code()
        said = f"{what} failed: {native.str() or native.name()}".rstrip(".")
        if code in _NO_ANSWER:
            return self._no_answer(what)
        if code in _UNKNOWN_TOPIC or code == NativeError.GROUP_ID_NOT_FOUND:
            return NotFoundError("Kafka", said, "create it with `gamestream apply`")
        if code == NativeError.TOPIC_ALREADY_EXISTS:
            return AlreadyExistsError("Kafka", said, "see how it differs with `gamestream plan`")
        if code in _REFUSED_RIGHTS:
            return TerminalServiceError("Kafka", said, "grant the client's principal the right")
        if native.retriable() or code in _MOMENTARY:
            return TransientServiceError("Kafka", said, "try again in a moment")
        return TerminalServiceError("Kafka", said, "fix the request, or the cluster's rules, and try again")


def leaders_move(error: BaseException) -> bool:
    """Whether a typed error stands for an answer of a broker that elects leaders."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in _MOMENTARY
