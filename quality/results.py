"""Results of a quality run as plain values: no Great Expectations type leaves `quality`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from textwrap import shorten
from typing import Any

from gamestream_dagster.errors import GamestreamError

_SENTENCE_DETAIL = 240  # characters of an observed value that fit into one line of a terminal


class QualityError(GamestreamError):
    """The suites could not run; the message says why and what to do next."""


class Severity(StrEnum):
    """The severity of a failed expectation."""

    CRITICAL = "critical"  # a number on the board is wrong or cannot be trusted
    WARNING = "warning"  # worth a check; the numbers themselves are correct
    INFO = "info"  # informational


class SuiteState(StrEnum):
    """Outcome of a suite."""

    HOLDS = "HOLDS"  # every critical expectation holds, or there are correctly no rows
    FAILS = "FAILS"  # a critical expectation fails, or rows are missing
    NOT_RUN = "NOT_RUN"  # there is nothing to evaluate or to compare with yet; neither a pass nor a failure


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation of one suite."""

    suite: str
    expectation: str  # the requirement as a sentence
    kind: str  # Great Expectations' type, such as expect_column_values_to_be_unique
    column: str | None  # None: the expectation is about whole rows
    success: bool
    evaluated: int  # rows checked
    unexpected: int  # rows that violate it
    severity: Severity
    detail: str = ""  # the observed value; empty when it holds


@dataclass(frozen=True)
class SuiteResult:
    """One suite. Without rows it holds only where `empty` says why none are correct."""

    suite: str
    title: str
    subject: str  # checked table or archive
    evaluated: int
    attempts: int  # validations until it held, or until the last one was final
    expectations: tuple[ExpectationResult, ...]
    reason: str = ""  # why the suite as a whole failed, when no single expectation says it
    empty: str = ""  # why it is correct that there were no rows
    waiting: str = ""  # why the suite has not run yet, and what to run first

    @property
    def state(self) -> SuiteState:
        """FAILS also where rows are missing: no rows to check is never a pass."""
        if self.waiting:
            return SuiteState.NOT_RUN
        if self.reason or self.failed(Severity.CRITICAL) or not (self.evaluated or self.empty):
            return SuiteState.FAILS
        return SuiteState.HOLDS

    @property
    def success(self) -> bool:
        """True when the suite holds."""
        return self.state is SuiteState.HOLDS

    def failed(self, *severities: Severity) -> tuple[ExpectationResult, ...]:
        """Expectations that do not hold, of these severities (none given: all)."""
        return tuple(
            one for one in self.expectations if not one.success and (not severities or one.severity in severities)
        )

    def sentence(self) -> str:
        """One line for a terminal or a check's description."""
        if self.waiting:
            return f"Not run yet: {self.waiting}"
        if self.reason or self.empty:
            return self.reason or self.empty
        broken = self.failed()
        if not broken:
            count = len(self.expectations)
            rows = "row" if self.evaluated == 1 else "rows"
            hold = "expectation holds" if count == 1 else "expectations hold"
            return f"{count} {hold} over {self.evaluated} {rows}."
        first = broken[0]
        rest = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        seen = f": {shorten(first.detail, _SENTENCE_DETAIL, placeholder=' …')}" if first.detail else ""
        return f"Does not hold: {first.expectation}{seen}{rest}"


@dataclass(frozen=True)
class QualityResult:
    """One run of the suites."""

    suites: tuple[SuiteResult, ...]
    data_docs: Path  # index.html of the Data Docs of this run
    seconds: float

    @property
    def state(self) -> SuiteState:
        """FAILS when one suite fails, else NOT_RUN when one has not run yet (or there is none), else HOLDS."""
        found = {suite.state for suite in self.suites}
        if SuiteState.FAILS in found:
            return SuiteState.FAILS
        return SuiteState.HOLDS if found == {SuiteState.HOLDS} else SuiteState.NOT_RUN

    @property
    def success(self) -> bool:
        """True when every suite holds, and there is one at least."""
        return self.state is SuiteState.HOLDS

    @property
    def evaluated(self) -> int:
        """Rows checked, over all suites."""
        return sum(suite.evaluated for suite in self.suites)

    def suite(self, name: str) -> SuiteResult:
        """The result of one suite.

        Raises:
            KeyError: the run did not include it.
        """
        for suite in self.suites:
            if suite.suite == name:
                return suite
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        found = asdict(self)
        found["data_docs"] = str(self.data_docs)
        found["success"] = self.success
        found["state"] = self.state.value
        for plain, suite in zip(found["suites"], self.suites, strict=True):
            plain["success"] = suite.success
            plain["state"] = suite.state.value
        return found
