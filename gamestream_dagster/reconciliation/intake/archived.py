"""The archive's side of the proof of intake: what should have become of each record, against what the outputs hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import duckdb

from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import numbers, open_archive
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.recompute.statements import statement

MEMORY_LIMIT = "768MiB"
"""DuckDB spills to disk beyond it."""

Found = dict[str, Any]
_NO_SCORES = "CREATE TEMP VIEW scores AS SELECT '' AS user_id, '' AS event_id, '' AS team_id, 0 AS score WHERE false"
_SCORES = (
    "CREATE TEMP TABLE scores AS SELECT user_id, event_id, team_id, score FROM read_parquet($paths, "
    "union_by_name = true, hive_partitioning = false) WHERE event_id <> '' AND kafka_timestamp >= $first"
)
_LOOKBACK_MS = 86_400_000
"""How long before the judged records the first record of an id is searched at once; older ones are searched by id."""


_CLOCK_MARGIN_MS = 60_000


@dataclass(frozen=True)
class Window:
    """The records that a proof judges: those that Kafka took from a time on."""

    since: int
    """Milliseconds; 0: all of them."""
    begins: Mapping[int, int]
    """First offset by partition; 0 for those left out."""


ALL = Window(0, MappingProxyType({}))


class JudgedIntake:
    """The archive of the raw topic beside the outputs, in DuckDB. Use as a context manager.

    Args:
        folder: `<archive_dir>/<topic>`.
        source: the raw topic.
        spill_dir: folder for what does not fit into memory.

    Raises:
        ArchiveError: a file of the archive is gone, was changed, or cannot be read.
    """

    def __init__(self, folder: Path, source: Source, spill_dir: Path) -> None:
        self._source = source
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_dir),
            "threads": 2,
            "preserve_insertion_order": False,
        }
        self.database = duckdb.connect(":memory:", config=config)
        opened = open_archive(self.database, folder, own_columns=source.own_columns)
        self.chapter = opened.chapter
        self.chapters = len(opened.manifest.chapters)
        self._window = ALL
        self._run("tables")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()

    @property
    def oldest(self) -> int:
        """Kafka time of the oldest archived record, milliseconds; 0 without one."""
        return self._number("SELECT coalesce(min(kafka_timestamp), 0) FROM archive")

    def bound(self, low: Cut, high: Cut, ends: Cut, window: Window = ALL) -> None:
        """Say which positions are judged. `ends`: of the topic, after the outputs were read."""
        self._window = window
        partitions = sorted(ends)
        begins = {part: max(self.chapter.begins.get(part, 0), window.begins.get(part, 0)) for part in partitions}
        given = numbers(
            {
                "partition": partitions,
                "begins": [begins.get(partition, 0) for partition in partitions],
                "low": [low.get(partition, 0) for partition in partitions],
                "high": [high.get(partition, 0) for partition in partitions],
                "ends": [ends[partition] for partition in partitions],
            }
        )
        self.database.register("given_cut", given)
        self.database.execute("INSERT INTO cut FROM given_cut")
        self.database.unregister("given_cut")

    def superseded(self) -> dict[str, int]:
        """Set aside what earlier runs of the job wrote of positions that a later one wrote again; counts by topic."""
        self._run("superseded")
        rows = self.database.execute("FROM superseded").fetchall()
        return {OUTPUT_TOPICS[Fate(fate)]: records for fate, records in rows}

    def judge(self) -> None:
        """Compare each position."""
        self._run("found")
        horizon = self._source.dedup.horizon if self._source.dedup is not None else None
        lookback = max(0, self._window.since - _LOOKBACK_MS)
        self._run("chains", horizon=horizon or 0, lookback=lookback)
        if horizon is None:  # the job remembers no ids: nothing is a copy
            self.database.execute("DELETE FROM chains")
        self._run("judged")
        astray = "SELECT count(*) FROM judged WHERE verdict IN ('MISSING', 'WRONG_PLACE')"
        if lookback and horizon is not None and self._number(astray):
            self._run("older", lookback=lookback)

    def counts(self) -> list[Found]:
        """Positions by `fate` and `verdict`."""
        return self._rows("counts")

    def runs(self, most: int) -> list[Found]:
        """The first runs of positions with a fault."""
        return self._rows("runs", most=most)

    def held_in(self, partition: int, first: int, last: int, most: int) -> list[str]:
        """Where the outputs hold a run of positions."""
        rows = self._rows("held_in", part=partition, first=first, last=last, most=most)
        return [f"{OUTPUT_TOPICS[Fate(row['fate'])]} p{row['out_partition']}@{row['out_offset']}" for row in rows]

    def archived_upto(self, partition: int, last: int) -> int:
        """Archived records of a partition up to an offset, inclusive."""
        return self._number(
            'SELECT count(*) FROM archive WHERE "partition" = ? AND "offset" <= ? AND item = 0', partition, last
        )

    def judge_scores(self, folder: Path, runs: int) -> int:
        """Compare the enriched scores with the archive of the boards' topic; the number of identities looked for.

        Args:
            folder: archive of the boards' topic.
            runs: how often the job began to read from the beginning.
        """
        manifest = load_manifest(folder)
        verify_files(folder, manifest.files)
        paths = [str(folder / one.path) for one in manifest.files]
        if paths:
            first = max(0, self._window.since - _CLOCK_MARGIN_MS)
            self.database.execute(_SCORES, {"paths": paths, "first": first})
        else:
            self.database.execute(_NO_SCORES)
        cut_short = bool(manifest.current.begins) or len(manifest.chapters) > 1
        since = self._oldest_of(paths) if cut_short and paths else 0
        self._run("scores", since=since, runs=max(1, runs))
        return self._number("SELECT count(*) FROM score_faults")

    def score_counts(self) -> Mapping[str, int]:
        """Identities by what is wrong with their scores."""
        rows = self.database.execute("SELECT verdict, count(*) FROM score_faults GROUP BY verdict").fetchall()
        return dict(rows)

    def score_runs(self, most: int) -> list[Found]:
        """The first runs of positions with a fault of their scores."""
        return self._rows("score_runs", most=most)

    def minutes(self, since: int) -> list[Found]:
        """What the raw topic and the outputs hold of each minute from a time on; after scores were judged, too."""
        return self._rows("minutes", since=since)

    def minute_faults(self, since: int) -> list[Found]:
        """Where the faults of each minute are."""
        return self._rows("minute_faults", since=since)

    def _oldest_of(self, paths: list[str]) -> int:
        row = self.database.execute(
            "SELECT min(kafka_timestamp) FROM read_parquet($paths)", {"paths": paths}
        ).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def _number(self, sql: str, *values: int) -> int:
        row = self.database.execute(sql, list(values)).fetchone()
        return int(row[0]) if row else 0

    def _run(self, name: str, **values: int) -> None:
        for sql in _statements(name):
            used = {key: value for key, value in values.items() if f"${key}" in sql}
            self.database.execute(sql, used or None)

    def _rows(self, name: str, **values: int) -> list[Found]:
        cursor = self.database.execute(statement(f"intake/{name}"), values or None)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _statements(name: str) -> Iterator[str]:
    """The statements of a file, one by one: DuckDB binds parameters to one statement only."""
    for part in duckdb.extract_statements(statement(f"intake/{name}")):
        yield part.query
