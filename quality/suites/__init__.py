"""The suites: one module a suite. `suite_names()` is cheap; `load_suites()` imports Great Expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gamestream_dagster.catalogue.asset_names import archive_name
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.catalogue.sources import Source, stack_sources

if TYPE_CHECKING:
    from gamestream_dagster.settings import Settings
    from quality.suites.suite import Suite

DIFFERENCES = "differences"
LEDGER = "ledger"


def suite_names(settings: Settings) -> tuple[str, ...]:
    """Every suite, without importing Great Expectations: outputs, differences, archives, ledger, metrics."""
    return (*proof_suites(settings), *load_metrics())


def proof_suites(settings: Settings) -> tuple[str, ...]:
    """The suites of boards and their proofs: all but those of the settled metrics."""
    return (*_in_postgres(settings), DIFFERENCES, *archive_suites(settings), LEDGER)


def archive_suites(settings: Settings) -> dict[str, Source]:
    """The suites of the archives: their names, and the streams that they are about."""
    archived = (source for source in stack_sources(settings).values() if source.archived)
    return {archive_name(source.topic)[-1]: source for source in archived}


def _in_postgres(settings: Settings) -> dict[str, Board]:
    found = load_boards(season=settings.season)
    return {name: output for name, output in found.items() if output.sinks.postgres is not None}


def load_suites(settings: Settings) -> dict[str, Suite]:
    """Every suite by name, in the order of `suite_names()`; nothing is connected to yet."""
    from quality.suites import archive, board, differences, ledger, metric

    suites = [board.suite(described) for described in _in_postgres(settings).values()]
    suites.append(differences.suite(DIFFERENCES))
    suites += [archive.suite(name, source, settings) for name, source in archive_suites(settings).items()]
    suites.append(ledger.suite(LEDGER))
    suites += [metric.suite(described) for described in load_metrics().values()]
    return {suite.name: suite for suite in suites}
