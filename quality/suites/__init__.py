"""The suites: one module a suite. `suite_names()` is cheap; `load_suites()` imports Great Expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gamestream_dagster.catalogue.boards import Board, load_boards

if TYPE_CHECKING:
    from gamestream_dagster.settings import Settings
    from quality.suites.suite import Suite

DIFFERENCES = "differences"
ARCHIVE = "archive"
LEDGER = "ledger"


def suite_names() -> tuple[str, ...]:
    """Every suite, without importing Great Expectations: those of the outputs, then the three of every stack."""
    return (*_in_postgres(), DIFFERENCES, ARCHIVE, LEDGER)


def _in_postgres() -> dict[str, Board]:
    return {name: output for name, output in load_boards().items() if output.sinks.postgres is not None}


def load_suites(settings: Settings) -> dict[str, Suite]:
    """Every suite by name, in the order of `suite_names()`; nothing is connected to yet."""
    from quality.suites import archive, board, differences, ledger

    suites = [board.suite(described) for described in _in_postgres().values()]
    suites += [differences.suite(DIFFERENCES), archive.suite(ARCHIVE, settings), ledger.suite(LEDGER)]
    return {suite.name: suite for suite in suites}
