# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
"""The suite of the event archive: counts of its Parquet files by topic and partition, made by DuckDB."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
from great_expectations import expectations as gxe

from gamestream_dagster.settings import Settings
from quality.queries import query
from quality.results import QualityError
from quality.suites.suite import Frame, Suite

MEMORY = "512MB"
NOTHING = "The archive holds no event yet; run `gamestream archive`."

# Counts that must be nought, and what then holds.
_NOUGHT = {
    "files_with_doubles": "No file holds a record twice",
    "overlapping_files": "No two files of a partition overlap",
    "accepted_incomplete": "Accepted events have a player, a team, a score and a time",
    "accepted_out_of_range": "Accepted scores lie between 0 and 1,000,000,000,000",
    "without_place": "Every record has its offset and its Kafka timestamp",
}


def suite(name: str, settings: Settings) -> Suite:
    """One row for each topic and partition; no event leaves DuckDB."""
    nought = [
        gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=0, description=sentence)
        for column, sentence in _NOUGHT.items()
    ]
    return Suite(
        name=name,
        title="Event archive",
        rows=Frame(source="archive", read=partial(read_partitions, settings.archive_dir)),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A partition has been archived"),
            gxe.ExpectColumnValuesToNotBeNull(column="topic", description="Every record names its topic"),
            gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1, description="No partition is empty"),
            *nought,
        ),
        nothing_found=NOTHING,
    )


def read_partitions(archive: Path) -> pd.DataFrame:
    """Counts by topic and partition, as `archive_partitions.sql` names them.

    Raises:
        QualityError: there is no file yet, or one cannot be read.
    """
    if next(archive.glob("*/**/*.parquet"), None) is None:
        raise QualityError(NOTHING)
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as link:
        try:
            return link.execute(query("archive_partitions"), [str(archive / "*" / "**" / "*.parquet")]).df()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise QualityError(f"The archive could not be read ({reason}); see `gamestream archive`.") from error
