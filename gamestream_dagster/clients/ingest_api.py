"""The HTTP API of intake as a sender sees it: a batch of events in, a verdict for each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError

MAX_EVENTS: Final = 500
MAX_BODY_BYTES: Final = 1 << 20
REQUEST_TIMEOUT_SECONDS: Final = 30.0
_SERVICE: Final = "HTTP API"
_HEAD: Final = b'{"events":['
_TAIL: Final = b"]}"
# Nothing is known about the events of such an answer, or nothing of them was stored.
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_WHAT_NEXT: Final = {
    401: "make a key with `gamestream keys create`",
    403: "make a key with the scope `ingest` (`gamestream keys create`)",
    404: "see that the address is that of gamestream's HTTP API (`gamestream status` shows it)",
    413: "send fewer events at once (`--batch`)",
}


class TryLaterError(TransientServiceError):
    """No verdicts: the batch has to be sent again, with the same ids.

    Args:
        reason: why, without a full stop.
        retry_after: seconds that the server asks to wait for; None: it did not say.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(_SERVICE, reason, "see `gamestream status`, then send the events again")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class EventVerdict:
    """What became of one event at the door."""

    verdict: str
    """`accepted`, `duplicate`, `refused` or `retry`."""
    code: str | None = None
    """Why it is refused; of an accepted event a remark, such as `LATE`."""
    message: str | None = None
    partition: int | None = None
    """Where Kafka stored it; None where it did not."""
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class BatchReply:
    """The verdicts of a batch, in the order of its events."""

    verdicts: tuple[EventVerdict, ...]
    retry_after: float | None = None
    """Seconds after which the events with the verdict `retry` may be sent again."""


class IngestApi:
    """Sends batches with one key. Use as a context manager, or `close` it.

    Args:
        url: root of the API.
        key: sent as a bearer token; never logged.
        timeout_seconds: of one request.
    """

    def __init__(
        self,
        url: str,
        key: str,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            timeout=timeout_seconds,
            transport=transport,
            trust_env=False,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, events: Sequence[bytes]) -> BatchReply:
        """Send one batch and return its verdicts.

        Args:
            events: JSON values, at most `MAX_EVENTS` and `body_bytes(events)` at most `MAX_BODY_BYTES`.

        Raises:
            TryLaterError: no answer, or one that says to come again; the events may be stored nevertheless.
            TerminalServiceError: the request is refused, and would be refused again.
        """
        try:
            answer = self._http.post(f"{self.url}/v1/events", content=_HEAD + b",".join(events) + _TAIL)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise TerminalServiceError(
                _SERVICE, f"{self.url} is no address ({error})", "give one such as http://127.0.0.1:8000"
            ) from error
        except httpx.TransportError as error:
            raise TryLaterError(f"{self.url} does not answer ({type(error).__name__})") from error
        if answer.status_code == httpx.codes.OK:
            return self._reply(answer, len(events))
        said = f"it answers {answer.status_code}: {_message(answer)}"
        if answer.status_code in _TRY_AGAIN:
            raise TryLaterError(said, _retry_after(answer))
        raise TerminalServiceError(_SERVICE, said, _WHAT_NEXT.get(answer.status_code, "mend the request"))

    def _reply(self, answer: httpx.Response, count: int) -> BatchReply:
        try:
            told = [(one["index"], _verdict(one)) for one in orjson.loads(answer.content)["verdicts"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            told = []
        if [index for index, _ in told] != list(range(count)):
            raise TerminalServiceError(
                _SERVICE, f"{self.url} did not answer with a verdict for each event", _WHAT_NEXT[404]
            )
        return BatchReply(tuple(verdict for _, verdict in told), _retry_after(answer))


def body_bytes(count: int, content: int) -> int:
    """Size of the body of a batch of so many events that have so many bytes together."""
    return len(_HEAD) + content + max(0, count - 1) + len(_TAIL)


def _verdict(told: dict[str, Any]) -> EventVerdict:
    return EventVerdict(told["verdict"], told.get("code"), told.get("message"), told["partition"], told["offset"])


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds; a date, as a proxy may send it, is not understood."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _message(answer: httpx.Response) -> str:
    try:
        told = orjson.loads(answer.content)
        return str(told["message"]).rstrip(".")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer.reason_phrase or "no reason given"
