"""Errors of the plain code as Dagster failures: one sentence, and a retry only where another try can help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

# For transient errors alone: every other failure says `allow_retries=False`, which the policy respects.
RETRY_TRANSIENT = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)


def is_transient(error: BaseException) -> bool:
    """True when another try of the same thing may work: the classes say so, never the text."""
    from gamestream_dagster.archive.errors import ArchiveBehindError, ArchiveBusyError
    from gamestream_dagster.clients.errors import TransientServiceError
    from gamestream_dagster.flink_jobs.errors import TransientFlinkJobError

    return isinstance(error, (TransientServiceError, TransientFlinkJobError, ArchiveBusyError, ArchiveBehindError))


@contextmanager
def explained(doing: str, **facts: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `dg.Failure` that says what was being done.

    Args:
        doing: what was attempted, such as `apply the job leaderboards_v1`.
        facts: metadata of the failure.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested, dg.DagsterExecutionInterruptedError):
        raise
    except Exception as error:
        raise dg.Failure(
            description=f"Could not {doing}: {error}",
            metadata={"error": type(error).__name__, **facts},
            allow_retries=is_transient(error),
        ) from error
