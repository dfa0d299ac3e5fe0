"""Players from a CSV file: one row a player, read by DuckDB in bounded memory."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from gamestream_dagster.experiments.errors import PlayersError
from gamestream_dagster.experiments.moments import arms_of, places_of
from gamestream_dagster.experiments.plan import MOST_VARIANTS, Metric, MetricKind, Plan, Role
from gamestream_dagster.experiments.sample import Sample
from gamestream_dagster.experiments.statements import statement

PLAYER_COLUMN: Final = "userid"
VARIANT_COLUMN: Final = "version"
METRICS: Final = {
    "retention_1": Metric(kind=MetricKind.PROPORTION, role=Role.PRIMARY),
    "retention_7": Metric(kind=MetricKind.PROPORTION, role=Role.PRIMARY),
    "sum_gamerounds": Metric(kind=MetricKind.MEAN, role=Role.PRIMARY),
}
"""What a file without a plan is compared by: nobody said before which one decides, so all of them do."""

MEMORY_LIMIT: Final = "512MiB"
"""DuckDB spills to disk beyond it."""
_MOST_NUMBER: Final = 1e15
_LONGEST_HEADER: Final = 1 << 20
_DELIMITERS: Final = ",;\t|"
_CONTROLS: Final = ("control", "a")


@dataclass(frozen=True)
class PlayerFile:
    """A CSV file (also gzipped) with a header, `userid`, `version` and a column for each metric."""

    path: Path

    def sample(self, plan: Plan) -> Sample:
        """The arms of a plan.

        Raises:
            PlayersError: a column is missing, a value is none of its column, a player stands twice in a version, or
                the file cannot be read.
        """
        with_before = {name: metric.covariate for name, metric in plan.metrics.items() if metric.covariate is not None}
        places = places_of(list(plan.metrics), with_before)
        columns = [plan.column_of(one.metric) for one in places] + list(with_before.values())
        with self._opened(columns) as database:
            _refuse_nameless(database, self.path)
            found = [name for (name,) in database.execute("SELECT DISTINCT variant FROM file_rows").fetchall()]
            if unknown := sorted(set(found) - set(plan.variants)):
                raise PlayersError(
                    f"{self.path} has the version {unknown[0]!r}, the plan has {', '.join(plan.variants)}",
                    "correct `variants` before you look at results, or the file",
                )
            _refuse_values(database, self.path, plan, columns)
            crossovers = _leave_out_repeated(database, self.path)
            moments = database.execute(statement("moments")).fetchall()
            pairs = [(one.place, one.before) for one in places if one.before is not None]
            given = {"places": [place for place, _ in pairs], "befores": [before for _, before in pairs]}
            covariances = database.execute(statement("covariances"), given).fetchall() if pairs else []
            return Sample(arms_of(plan, places, moments, covariances), crossovers)

    def versions(self) -> list[str]:
        """The versions that the file has, for a file without a plan, in order.

        Raises:
            PlayersError: there is one, or there are more than any experiment has.
        """
        with self._opened([]) as database:
            _refuse_nameless(database, self.path)
            query = "SELECT DISTINCT variant FROM file_rows ORDER BY variant LIMIT $most"
            found = [name for (name,) in database.execute(query, {"most": MOST_VARIANTS + 1}).fetchall()]
        if not found:
            raise PlayersError(f"{self.path} has a header and no rows", "write one row for each player")
        if len(found) == 1:
            raise PlayersError(
                f"{self.path} has one version, {found[0]!r}, so there is nothing to compare it with",
                "write the players of all arms into one file",
            )
        if len(found) > MOST_VARIANTS:
            raise PlayersError(
                f"`{VARIANT_COLUMN}` of {self.path} has more than {MOST_VARIANTS} values",
                f"see that `{VARIANT_COLUMN}` holds the arm of the experiment",
            )
        return found

    @contextmanager
    def _opened(self, columns: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        wanted = [PLAYER_COLUMN, VARIANT_COLUMN, *columns]
        delimiter, names = _header(self.path, wanted)
        with TemporaryDirectory(prefix="gamestream-experiment-") as spill:
            database = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": spill})
            try:
                _load(database, self.path, delimiter, names, wanted)
                yield database
            except duckdb.Error as error:
                raise _unreadable(self.path, error) from error
            finally:
                database.close()


def plan_of_file(file: PlayerFile, control: str | None = None) -> Plan:
    """The plan of a file that has none: equal shares, every metric primary, no horizon.

    Args:
        file: whose versions they are.
        control: default the version called `control` or `A`, else the first by name.

    Raises:
        PlayersError: there are not two versions or more, or `control` is none of them.
    """
    versions = file.versions()
    if control is not None and control not in versions:
        raise PlayersError(f"{control!r} is no version of {file.path}", f"name one of {', '.join(versions)}")
    usual = next((name for name in versions if name.lower() in _CONTROLS), versions[0])
    return Plan(
        experiment=file.path.name[:200],
        control=control or usual,
        variants=dict.fromkeys(versions, 1.0),
        metrics=dict(METRICS),
    )


def _header(path: Path, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """Delimiter and column names of a file."""
    text = _first_line(path)
    found = [(delimiter, _split(text, delimiter)) for delimiter in _DELIMITERS]
    delimiter, names = max(found, key=lambda one: (len(set(wanted) & set(one[1])), len(one[1])))
    if missing := [column for column in wanted if column not in names]:
        listed = ", ".join(f"`{column}`" for column in dict.fromkeys(missing))
        shown = ", ".join(names)
        shown = shown if len(shown) <= 300 else f"{shown[:300]} ..."
        raise PlayersError(f"{path} lacks {listed}; its first line is {shown!r}", "give the file a header with them")
    if twice := [column for column in wanted if names.count(column) > 1]:
        raise PlayersError(f"{path} has the column `{twice[0]}` twice", "leave one of them")
    return delimiter, names


def _first_line(path: Path) -> str:
    give = "give a CSV file with one row for each player"
    try:
        if not path.is_file():
            what = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
            raise PlayersError(what if not path.exists() or path.is_dir() else f"{path} is no regular file", give)
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            line = stream.readline(_LONGEST_HEADER + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PlayersError(f"{path} is damaged ({error})", "fetch it again") from error
    except (OSError, ValueError) as error:
        raise PlayersError(f"{path} cannot be read ({error})", give) from error
    if not line.strip():
        raise PlayersError(f"{path} has no first line", give)
    if len(line) > _LONGEST_HEADER:
        raise PlayersError(f"The first line of {path} is longer than any header", give)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlayersError(f"{path} is not UTF-8", "save it as UTF-8") from error
    if "\0" in text:
        raise PlayersError(f"{path} is no text", "save it as CSV in UTF-8")
    return text.rstrip("\r\n")


def _split(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _load(
    database: duckdb.DuckDBPyConnection, path: Path, delimiter: str, names: Sequence[str], wanted: Sequence[str]
) -> None:
    """Make the view `file` (user_id, variant, texts) and the table `file_rows`; names of columns never reach SQL."""
    own = [f"c{place}" for place in range(len(names))]
    rows = database.read_csv(
        str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]"),  # a path is no pattern
        header=True,
        sep=delimiter,
        quotechar='"',
        escapechar='"',
        all_varchar=True,
        auto_detect=False,
        columns=dict.fromkeys(own, "VARCHAR"),
        compression="gzip" if path.suffix == ".gz" else "none",
        strict_mode=True,
    )
    place = {column: duckdb.ColumnExpression(own[names.index(column)]) for column in wanted}
    texts = [place[column] for column in wanted[2:]]
    rows.select(
        place[wanted[0]].alias("user_id"),
        place[wanted[1]].alias("variant"),
        duckdb.FunctionExpression("list_value", *texts).alias("texts")
        if texts
        else duckdb.SQLExpression("[]::VARCHAR[]").alias("texts"),
    ).create_view("file")
    database.execute("SET preserve_insertion_order = false")
    database.execute(statement("file_rows"))
    database.execute("SET preserve_insertion_order = true")  # numbers of rows, where a row is wrong


def _refuse_nameless(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    query = "SELECT count(*) FROM file_rows WHERE coalesce(user_id, '') = '' OR coalesce(variant, '') = ''"
    if count := _one(database, query)[0]:
        row, no_player = _one(database, statement("file_nameless"))
        column = PLAYER_COLUMN if no_player else VARIANT_COLUMN
        raise PlayersError(
            f"{path} has {count:,} rows without `{PLAYER_COLUMN}` or `{VARIANT_COLUMN}`, the first is row {row:,} "
            f"(`{column}` is empty)",
            "fill in or remove them",
        )


def _refuse_values(database: duckdb.DuckDBPyConnection, path: Path, plan: Plan, columns: Sequence[str]) -> None:
    kinds = [metric.kind for metric in plan.metrics.values()]
    proportions = [place for place, kind in enumerate(kinds, start=1) if kind is MetricKind.PROPORTION]
    values = {"proportions": proportions or [0], "most": _MOST_NUMBER}
    found = database.execute(statement("file_refused"), values).fetchall()
    if not found:
        return
    place, count = found[0]
    is_proportion = place in proportions
    given = {"place": place, "most": _MOST_NUMBER, "proportion": is_proportion}
    row, text = _one(database, statement("file_first_refused"), given)
    shown = "empty" if not text else repr(text if len(text) <= 40 else f"{text[:40]}...")
    wanted = "0 or 1, or false or true" if is_proportion else f"a number between -{_MOST_NUMBER:.0e} and its opposite"
    raise PlayersError(
        f"`{columns[place - 1]}` of {path} has {count:,} values that cannot be used, the first is {shown} in row "
        f"{row:,}; it must be {wanted}",
        "correct them, or leave these players out for a reason that does not depend on their arm",
    )


def _leave_out_repeated(database: duckdb.DuckDBPyConnection, path: Path) -> int:
    """How many players are in several variants; they are left out of the view `players`."""
    database.execute(statement("file_repeated"))
    twice, crossovers = _one(
        database, "SELECT count(*) FILTER (variants < times), count(*) FILTER (variants = times) FROM repeated"
    )
    if twice:
        first, second = _one(database, statement("file_first_repeated"))[0]
        raise PlayersError(
            f"{path} has {twice:,} players with several rows in one version, first in the rows {first:,} and "
            f"{second:,}",
            "write one row for each player",
        )
    database.execute(statement("file_players"))
    return crossovers


def _one(database: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any] | None = None) -> Any:
    return database.execute(query, values or {}).fetchone()


def _unreadable(path: Path, error: duckdb.Error) -> PlayersError:
    said = " ".join(str(error).splitlines()[0].split())[:200] if str(error) else type(error).__name__
    if isinstance(error, duckdb.OutOfMemoryException):
        return PlayersError(
            f"{path} does not fit into {MEMORY_LIMIT} of memory and the temporary folder", "make room on the disk"
        )
    return PlayersError(f"{path} is no regular CSV file ({said})", "write each player as one line of the same columns")
