"""Errors of the HTTP servers."""

from __future__ import annotations

from collections.abc import Mapping

from gamestream_dagster.errors import GamestreamError


class HttpServerError(GamestreamError):
    """A server could not start, or a command about keys failed."""


class RequestRefusedError(HttpServerError):
    """A request that is refused as a whole: nothing of it was stored.

    Args:
        status: HTTP status.
        code: a fixed word for programs.
        message: a sentence with what to do next. It repeats no key, body or address.
        retry_after: seconds after which the same request may succeed.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def bad_request(code: str, message: str) -> RequestRefusedError:
    """400: the request cannot be understood; the same request never succeeds."""
    return RequestRefusedError(400, code, message)


def unauthorized(code: str, message: str) -> RequestRefusedError:
    """401: no key, a key that is not valid, or a wrong signature."""
    return RequestRefusedError(401, code, message, headers={"WWW-Authenticate": "Bearer"})


def not_found(code: str, message: str) -> RequestRefusedError:
    """404: what is asked for does not exist."""
    return RequestRefusedError(404, code, message)


def too_large(code: str, message: str) -> RequestRefusedError:
    """413: over a limit on the size of a request."""
    return RequestRefusedError(413, code, message)


def unavailable(code: str, message: str, retry_after: int = 2) -> RequestRefusedError:
    """503: a server that we need is away, or we are too busy; the same request may succeed later."""
    return RequestRefusedError(503, code, message, retry_after=retry_after)
