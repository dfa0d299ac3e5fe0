"""What a quality run found, as plain values: no Great Expectations type leaves `quality`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from textwrap import shorten
from typing import Any

_SENTENCE_DETAIL = 240  # characters of what was seen that fit into one line of a terminal


class QualityError(Exception):
    """The suites could not be run at all; the message says why and what to do next."""


class Severity(StrEnum):
    """What a failed expectation means for the people who read it."""

    CRITICAL = "critical"  # a number on the board is wrong or cannot be trusted
    WARNING = "warning"  # worth a look; the numbers themselves stand
    INFO = "info"  # for the record


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation of one suite."""

    suite: str
    expectation: str  # what must hold, in words
    kind: str  # Great Expectations' type, such as expect_column_values_to_be_unique
    column: str | None  # None: the expectation is about whole rows
    success: bool
    evaluated: int  # rows that were looked at
    unexpected: int  # rows that break it
    severity: Severity
    detail: str = ""  # what was seen instead; empty when it holds


@dataclass(frozen=True)
class SuiteResult:
    """One suite: it succeeds when it looked at one row at least and every critical expectation holds."""

    suite: str
    title: str
    subject: str  # table or archive that it looked at
    evaluated: int
    attempts: int  # validations until it held, or until the last was believed
    expectations: tuple[ExpectationResult, ...]
    reason: str = ""  # why the suite as a whole failed, when no single expectation says it

    @property
    def success(self) -> bool:
        """False as well when nothing was evaluated: "could not look" is never "fine"."""
        return self.evaluated > 0 and not self.reason and not self.failed(Severity.CRITICAL)

    def failed(self, *severities: Severity) -> tuple[ExpectationResult, ...]:
        """Expectations that do not hold, of these severities (none given: all)."""
        return tuple(
            one for one in self.expectations if not one.success and (not severities or one.severity in severities)
        )

    def sentence(self) -> str:
        """One line for a terminal or a check's description."""
        if self.reason:
            return self.reason
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
    def success(self) -> bool:
        """Every suite succeeded, and there was one at least."""
        return bool(self.suites) and all(suite.success for suite in self.suites)

    @property
    def evaluated(self) -> int:
        """Rows looked at, over all suites."""
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
        for plain, suite in zip(found["suites"], self.suites, strict=True):
            plain["success"] = suite.success
        return found
