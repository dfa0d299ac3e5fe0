"""What a reconciliation's recompute and ledger cost with the size of the archive, in time and memory.

An archive of the asked size is written through the archive's own decoder and writer, in bounded memory. Then, in a
process of its own for each round, all that a drained reconciliation does with it is timed: four boards compared with
what a right stream shows, the ledger with two jobs' own counters, the rows for the table `ledger`. Beside it DuckDB
merely scans the columns that were used. Servers are not needed.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import orjson
import typer

from gamestream_dagster.archive.manifest import Manifest, load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.ledger.balance import balance
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from gamestream_dagster.reconciliation.model.values import JobCut, Sink
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times

RESULTS = Path(__file__).parent / "results"
TOPIC = "user-score"
START = 1_760_000_000_000
PARTITIONS = 4
PLAYERS = 20_000
TEAMS = 1_000
PER_SECOND = 5_000
CHUNK = 10_000
SCAN = """
SELECT
  max("partition"), max("offset"), max(item), max(kafka_timestamp), max(score), max(event_time_millis),
  max(newest_before), max(hash(user_id)), max(hash(team_id)), max(hash(team_name)), max(hash(event_id)),
  max(hash(reason)), max(hash(remark))
FROM archive
"""
app = typer.Typer(add_completion=False)


@app.command()
def run(sizes: list[int] | None = None, rounds: int = 3, keep: Path | None = None) -> None:
    """Measure, print and store. `keep`: where archives stay, to be used again."""
    folder = keep or Path(tempfile.mkdtemp(prefix="gamestream-"))
    try:
        found = [one_size(folder / str(size), size, rounds) for size in sizes or [1_000_000, 3_300_000, 10_000_000]]
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    at = datetime.now(UTC)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "duckdb": duckdb.__version__,
        "at": at.isoformat(timespec="seconds"),
        "players": PLAYERS,
        "teams": TEAMS,
        "sizes": found,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (RESULTS / f"recompute_scale_{at:%Y%m%dT%H%M%SZ}.json").write_text(text, encoding="utf-8")
    typer.echo(text)


def one_size(home: Path, events: int, rounds: int) -> dict:
    """One archive and its rounds, each in a process of its own."""
    if not (home / "expected.json").exists():
        make_archive(home / TOPIC, events)
        call("prepare", home)
    measured = [call("measure", home) for _ in range(rounds)]
    parts = {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name in measured[0]["seconds"]
        if (values := [round(one["seconds"][name], 2) for one in measured])
    }
    return {
        "events": events,
        "archive_mib": round(sum(path.stat().st_size for path in home.rglob("*.parquet")) / 2**20),
        "seconds": parts,
        "peak_rss_mib": max(one["peak_rss_mib"] for one in measured),
        "verdict": measured[0]["verdict"],
        "load": [one["load"] for one in measured],
    }


def call(command: str, home: Path) -> dict:
    """A command of this file in a fresh process; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, __file__, command, str(home)], check=True, stdout=subprocess.PIPE, text=True, timeout=900
    )
    return json.loads(done.stdout.splitlines()[-1])


def make_archive(topic_dir: Path, events: int) -> None:
    """The archive of a simulated topic, through the archive's own decoder and writer."""
    topic_dir.mkdir(parents=True)
    start = dict.fromkeys(range(PARTITIONS), 0)
    archive = ArchiveRun(TOPIC, topic_dir, Manifest(topic=TOPIC), start)
    chunks = {partition: Raw() for partition in range(PARTITIONS)}
    for partition, at, value in records(events):
        raw = chunks[partition]
        raw.offsets.append(start[partition])
        raw.timestamps.append(at)
        raw.keys.append(b"")
        raw.values.append(value)
        start[partition] += 1
        if len(raw) == CHUNK:
            archive.take(partition, raw, start[partition], None)
            chunks[partition] = Raw()
    for partition, raw in chunks.items():
        archive.take(partition, raw, start[partition], None)
    archive.finish()


def records(events: int) -> Iterator[tuple[int, int, bytes]]:
    """Partition, Kafka timestamp and value: 4 % copies within seconds, 2 % refused, 3 % 5 to 60 s late."""
    chance = random.Random(7)
    uniform = chance.random
    recent: deque[tuple[int, bytes]] = deque(maxlen=PER_SECOND)
    for number in range(events):
        at = START + number * 1000 // PER_SECOND
        kind = uniform()
        if kind < 0.04 and recent:
            partition, value = recent[int(uniform() * len(recent))]
            yield partition, at, value
            continue
        player = int(uniform() * PLAYERS) if uniform() < 0.7 else int(uniform() ** 4 * PLAYERS)
        score = -1 if kind > 0.98 else int(uniform() * 100)
        time_ms = at - (5_001 + int(uniform() * 55_000) if 0.04 < kind < 0.07 else int(uniform() * 800))
        value = orjson.dumps(
            {
                "user_id": f"user_{player:05d}",
                "team_id": f"team_{player % TEAMS:04d}",
                "team_name": f"Team {player % TEAMS}",
                "score": score,
                "event_time_millis": time_ms,
                "readable_time": "2025-10-09 08:53:20",
                "event_type": "normal",
                "event_id": f"{chance.getrandbits(128):032x}",
            }
        )
        recent.append((player % PARTITIONS, value))
        yield player % PARTITIONS, at, value


@app.command()
def prepare(home: Path) -> None:
    """Store what a right stream would show and count: boards at the end, and each job's own minutes."""
    boards = load_boards()
    high = load_manifest(home / TOPIC).archived_upto
    with recompute(home) as opened:
        at = opened.at(high)
        newest = min(newest_event_times(opened, at).values())
        shown: dict[str, list] = {}
        for name, board in boards.items():
            window = board.window
            as_of = None
            if window is not None:
                tick = window.tick_seconds * 1000
                as_of = (newest - window.delay_seconds * 1000) // tick * tick
            shown[name] = board_rows(opened, at, board, as_of=as_of)
        list(read_minutes(opened, at))
        minutes = opened.query(at, "SELECT * EXCLUDE (reasons, remarks) FROM minutes ORDER BY ALL")
    (home / "expected.json").write_bytes(orjson.dumps({"boards": shown, "minutes": minutes}, default=int))
    typer.echo("{}")


@app.command()
def measure(home: Path) -> None:
    """One round: examine four boards, balance the ledger; then the bare scan."""
    boards = list(load_boards().values())
    expected = orjson.loads((home / "expected.json").read_bytes())
    high = load_manifest(home / TOPIC).archived_upto
    jobs = sorted({board.job for board in boards})
    seen = Observation(
        {job: JobCut(job, "", "", 1, high) for job in jobs},
        high,
        {(board.name, Sink.POSTGRES): expected["boards"][board.name] for board in boards},
    )
    counted = job_ledger(jobs, expected["minutes"])
    load = os.getloadavg()[0]
    seconds: dict[str, float] = {}
    started, cpu = time.perf_counter(), time.process_time()
    with recompute(home) as opened:
        results = examine(opened, boards, [Sink.POSTGRES], seen=seen, since=dict.fromkeys(jobs, high))
        seconds["boards"] = time.perf_counter() - started
        ledger = balance(opened, opened.at(high), counted, dict.fromkeys(jobs, high))
        rows = sum(1 for _ in read_minutes(opened, opened.at(high)))
    seconds["boards and ledger"] = time.perf_counter() - started
    seconds["boards and ledger, cpu"] = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cpu = time.process_time()
    seconds["bare scan"] = bare_scan(home)
    seconds["bare scan, cpu"] = time.process_time() - cpu
    seconds["one board"] = one_board(home, high)
    differences = [one.explanation for result in results for one in result.differences]
    verdict = "; ".join(differences + [fault.sentence for fault in ledger.faults]) or "MATCH"
    found = {"seconds": seconds, "peak_rss_mib": peak, "load": round(load, 1), "minutes": rows, "verdict": verdict}
    typer.echo(json.dumps(found))


def bare_scan(home: Path) -> float:
    """Seconds that DuckDB takes to read the columns once."""
    with duckdb.connect(config={"threads": 2}) as database:
        open_archive(database, home / TOPIC)
        started = time.perf_counter()
        database.execute(SCAN).fetchall()
        return time.perf_counter() - started


def one_board(home: Path, high: dict[int, int]) -> float:
    """Seconds for the first board without a window, once the copies are known."""
    board = next(board for board in load_boards().values() if board.window is None)
    with recompute(home) as opened:
        opened.query(opened.at({}), "SELECT 1")  # the copies are found with the first question
        started = time.perf_counter()
        board_rows(opened, opened.at(high), board)
        return time.perf_counter() - started


def job_ledger(jobs: list[str], minutes: list[dict]) -> JobLedger:
    """What jobs that count all, and drop every copy, would have written."""
    ledger = JobLedger()
    for job in jobs:
        for minute in minutes:
            ledger.add(
                {
                    "job": job,
                    "partition_id": minute["partition_id"],
                    "minute_millis": minute["minute"],
                    "records": minute["yielded"],
                    "accepted": minute["accepted"] + minute["late"],
                    "duplicate": minute["duplicate"],
                    "offset_sum": minute["offset_sum"],
                    "offset_square_sum": minute["offset_square_sum"],
                    "first_offset": minute["first_yielded"],
                    "last_offset": minute["last_yielded"],
                }
            )
    return ledger


def recompute(home: Path) -> ArchiveDatabase:
    """As a reconciliation opens it."""
    spill = home / "spill"
    spill.mkdir(exist_ok=True)
    return ArchiveDatabase(ArchiveSource(home / TOPIC), spill)


if __name__ == "__main__":
    app()
