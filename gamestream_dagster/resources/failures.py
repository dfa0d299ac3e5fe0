"""Errors as Dagster failures: one sentence, and a retry only for transient errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from gamestream_dagster.errors import Transient

# Retries are requested here, not by a RetryPolicy: with a policy Dagster also retries what a person cancelled.
RETRIES = 2
PAUSE_SECONDS = 10.0


def is_transient(error: BaseException) -> bool:
    """True for transient errors, decided by class, never by text."""
    return isinstance(error, Transient)


@contextmanager
def explained(doing: str, *, retries: int = RETRIES, **facts: str) -> Iterator[None]:
    """Turn every error inside into a `dg.Failure` that says what was attempted.

    Args:
        doing: what was attempted, such as `apply the job leaderboards_v1`.
        retries: how often Dagster retries a transient error.
        facts: metadata of the failure.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested, dg.DagsterExecutionInterruptedError):
        raise
    except Exception as error:
        failure = dg.Failure(
            description=f"Could not {doing}: {error}",
            metadata={"error": type(error).__name__, **facts},
        )
        if retries and is_transient(error):
            failure.__cause__ = error
            raise dg.RetryRequested(max_retries=retries, seconds_to_wait=PAUSE_SECONDS) from failure
        raise failure from error
