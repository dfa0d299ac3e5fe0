"""A suite: the rows to check, and the expectations about them."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from great_expectations.expectations import UnexpectedRowsExpectation
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from gamestream_dagster.settings import Settings
from quality.results import Severity, SuiteState

GX_SEVERITY = {
    Severity.CRITICAL: FailureSeverity.CRITICAL,
    Severity.WARNING: FailureSeverity.WARNING,
    Severity.INFO: FailureSeverity.INFO,
}


@dataclass(frozen=True)
class PostgresRows:
    """Rows of a SELECT in the stack's Postgres, read anew by every expectation."""

    tables: tuple[str, ...]
    select: str


@dataclass(frozen=True)
class Frame:
    """A small frame of aggregates, computed when the suite runs."""

    source: str
    read: Callable[[], pd.DataFrame]
    """Raises QualityError when the frame cannot be computed."""
    is_empty: Callable[[], bool]
    """Cheap: whether `read` would give no row."""


@dataclass(frozen=True)
class Emptiness:
    """The meaning of a suite without rows."""

    state: SuiteState
    sentence: str


@dataclass(frozen=True)
class Suite:
    """One suite. `when_empty` decides whether having no rows is correct."""

    name: str
    title: str
    rows: PostgresRows | Frame
    expectations: tuple[Expectation, ...]
    when_empty: Callable[[Settings], Emptiness]
    # A live board is written rank by rank: a failure that vanishes at the next attempt was a write in progress.
    live: bool = False

    @property
    def subject(self) -> str:
        """The checked table or archive."""
        return self.rows.tables[0] if isinstance(self.rows, PostgresRows) else self.rows.source


def no_rows(select: str, sentence: str, severity: Severity = Severity.CRITICAL) -> UnexpectedRowsExpectation:
    """An expectation that this SELECT over `{batch}` returns nothing; `sentence` says what then holds."""
    return UnexpectedRowsExpectation(
        unexpected_rows_query=select, description=sentence, severity=GX_SEVERITY[severity], meta={"holds": sentence}
    )
