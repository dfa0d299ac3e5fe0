"""The truth of a simulation on the disk: the lives, and the answers that metrics must give about them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.events.lives.options import (
    ARMS,
    CURRENCIES,
    DEVICES,
    FEATURES,
    PLACES,
    LivesOptions,
    constants,
    experiment_day,
)
from gamestream_dagster.events.lives.people import People
from gamestream_dagster.events.lives.tables import ACTS, SCHEMAS, LifeFiles

ANSWERS: Final = (
    "active_users",
    "levels",
    "revenue",
    "retention",
    "user_days",
    "payers",
    "ltv",
    "churn",
    "sessions_daily",
    "economy",
    "wallets",
    "features",
    "social",
    "experiment_players",
    "experiment",
)
"""Tables of answers; each is a Parquet file in the folder of the truth. `answers.sql` says what they mean."""

LIVES: Final = "lives"
COMPLETE: Final = "truth.json"
"""The file that a whole truth has: options and constants."""

_SQL: Final = Path(__file__).with_name("answers.sql")
_MEMORY: Final = "1GiB"


@contextmanager
def truth_of(options: LivesOptions, people: People, folder: Path) -> Iterator[LifeFiles]:
    """Write the truth into a folder, as a whole or not at all: lives as they are added, answers at the end.

    Args:
        options: of the simulation.
        people: its players.
        folder: where; a former truth is replaced.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with LifeFiles(partial / LIVES) as files:
            yield files
        pq.write_table(_players(options, people), partial / LIVES / "players.parquet", compression="zstd")
        _write_answers(options, partial, files.notes)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _players(options: LivesOptions, people: People) -> pa.Table:
    places, devices = [PLACES[one] for one in people.place], [DEVICES[one] for one in people.device]
    return pa.table(
        {
            "player": range(options.players),
            "user_id": people.ids(options),
            "installs": [options.start + timedelta(days=int(day)) for day in people.install],
            "leaves_after": [options.start + timedelta(days=int(day)) for day in people.gone],
            "plays_with_chance": people.habit,
            "country": [one.country for one in places],
            "region": [one.region for one in places],
            "utc_offset_minutes": [one.offset_minutes for one in places],
            "clock_ahead_ms": people.skew_ms,
            "platform": [one.platform for one in devices],
            "device_model": [one.model or None for one in devices],
            "payer": people.payer,
            "arm": [ARMS[one] for one in people.arm],
            "sandbox": people.tester,
        }
    )


def _write_answers(options: LivesOptions, folder: Path, notes: dict[str, Any]) -> None:
    spill = folder / "spill"
    with duckdb.connect(
        str(folder / "answers.duckdb"),
        config={"memory_limit": _MEMORY, "threads": 2, "temp_directory": str(spill)},
    ) as database:
        for name in (*SCHEMAS, "players"):
            database.read_parquet(str(folder / LIVES / f"{name}.parquet")).create_view(name)
        for name, key, values in (("currencies", "currency", CURRENCIES), ("arms", "arm", ARMS),
                                  ("feature_names", "feature", FEATURES)):  # fmt: skip
            database.register(name, pa.table({key: range(len(values)), f"{key}_name": values}))
        kinds = ", ".join(f"'{name}'" for name in ACTS)
        database.execute(f"CREATE MACRO kind_name(kind) AS [{kinds}][kind + 1]")
        for statement in database.extract_statements(_SQL.read_text(encoding="utf-8")):
            given = {"from": options.start, "upto": options.end}
            database.execute(statement, {name: given[name] for name in statement.named_parameters})
        for name in ANSWERS:
            database.table(name).write_parquet(str(folder / f"{name}.parquet"), compression="zstd")
    (folder / "answers.duckdb").unlink()
    shutil.rmtree(spill, ignore_errors=True)
    document = {
        "options": options.model_dump(mode="json"),
        "experiment_begins": str(options.start + timedelta(days=experiment_day(options.days))),
        **notes,
        **constants(),
    }
    (folder / COMPLETE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
