"""Measure 4: a reconciliation over a drained topic by size of its archive, in time and memory. No server.

Each round runs in a process of its own: four boards compared with what a correct stream shows, the ledger balanced with
two jobs' counters, the rows of the table `ledger`; then DuckDB's bare scan of the columns that these read.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson

from bench.dataset import PARTITIONS
from bench.figures import ratio, spread, spread_cells
from bench.recompute import SCORES, THREADS, TOPIC, Record, write_archive
from bench.results import BenchError, Result, Table
from bench.rounds import Say
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.ledger.balance import balance
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times

SCAN_SQL = Path(__file__).with_name("sql") / "scan_proof.sql"
START = 1_760_000_000_000
PLAYERS = 20_000
TEAMS = 1_000
PER_SECOND = 5_000
LIMIT_SECONDS = 900
PROOF, SCAN = "boards and ledger", "bare scan"


@dataclass(frozen=True)
class ProofOptions:
    """How many events each archive holds."""

    rounds: int = 5
    sizes: tuple[int, ...] = (1_000_000, 3_300_000, 10_000_000)


def measure(options: ProofOptions, say: Say) -> Result:
    """Prove an archive of each size, as often as there are rounds, after a discarded warm-up."""
    result = Result("proof", {"rounds": options.rounds, "sizes": options.sizes, "threads": THREADS})
    result.figures["sizes"] = [_one_size(size, options.rounds, say) for size in options.sizes]
    result.tables = [_table(result.figures["sizes"])]
    result.notes.append("4 % of the events are copies, 2 % refused, 3 % late by 5 to 60 s; 20,000 players.")
    return result


def _one_size(events: int, rounds: int, say: Say) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    try:
        say(f"write an archive of {events:,} events")
        write_archive(folder / TOPIC, records(events))
        _call("prepare", folder)
        measured: list[dict[str, Any]] = []
        for number in range(rounds + 1):
            found = _call("round", folder)
            turn = f"round {number} of {rounds}" if number else "warm-up"
            say(f"{events:,} events, {turn}: {found['seconds'][PROOF]:.2f} s")
            if found["verdict"] != "MATCH":
                raise BenchError(f"the proof of {events:,} events is {found['verdict']}; no figure of it counts")
            measured += [found] if number else []
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "events": events,
        "archive_bytes": size,
        "seconds": {
            name: spread([one["seconds"][name] for one in measured]).as_dict() for name in measured[0]["seconds"]
        },
        "peak_rss_mib": max(one["peak_rss_mib"] for one in measured),
    }


def _call(step: str, folder: Path) -> dict[str, Any]:
    """Run a step of this module in a fresh process; its last line is JSON."""
    command = [sys.executable, "-m", "bench.proof", step, str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if done.returncode:
        raise BenchError(f"`{' '.join(command[1:])}` ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _table(sizes: list[dict[str, Any]]) -> Table:
    rows = [
        [
            f"{one['events']:,}",
            name,
            *spread_cells(spent),
            ratio(spent["median"], one["seconds"][SCAN]["median"]),
            one["peak_rss_mib"],
        ]
        for one in sizes
        for name, spent in one["seconds"].items()
    ]
    return Table(
        "Proof by size of the archive", ["events", "what", "seconds", "min", "max", "over the scan", "peak MiB"], rows
    )


def records(events: int) -> Iterator[Record]:
    """Records with 4 % copies within seconds, 2 % refused, 3 % late by 5 to 60 s."""
    chance = random.Random(7)  # noqa: S311 - the same events in every run
    uniform = chance.random
    recent: deque[tuple[int, bytes]] = deque(maxlen=PER_SECOND)
    for number in range(events):
        at = START + number * 1000 // PER_SECOND
        kind = uniform()
        if kind < 0.04 and recent:
            partition, value = recent[int(uniform() * len(recent))]
            yield partition, at, b"", value
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
        yield player % PARTITIONS, at, b"", value


def prepare(home: Path) -> dict[str, Any]:
    """Store what a correct stream shows and counts: the final boards, and each job's minutes."""
    boards = {name: board for name, board in load_boards().items() if board.ranked}
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
    return {}


def one_round(home: Path) -> dict[str, Any]:
    """Examine four boards and balance the ledger; then the bare scan."""
    boards = [board for board in load_boards().values() if board.ranked]
    expected = orjson.loads((home / "expected.json").read_bytes())
    high = load_manifest(home / TOPIC).archived_upto
    jobs = sorted({board.job for board in boards})
    seen = Observation(
        {job: JobCut(job, "", "", 1, high) for job in jobs},
        high,
        {(board.name, Sink.POSTGRES): expected["boards"][board.name] for board in boards},
    )
    counted = job_ledger(jobs, expected["minutes"])
    seconds: dict[str, float] = {}
    started, cpu = time.perf_counter(), time.process_time()
    with recompute(home) as opened:
        results = examine(opened, boards, [Sink.POSTGRES], seen=seen, since=dict.fromkeys(jobs, high))
        seconds["boards"] = time.perf_counter() - started
        ledger = balance(opened, opened.at(high), counted, dict.fromkeys(jobs, high))
        rows = sum(1 for _ in read_minutes(opened, opened.at(high)))
    seconds[PROOF] = time.perf_counter() - started
    seconds[f"{PROOF}, CPU"] = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cpu = time.process_time()
    seconds[SCAN] = bare_scan(home)
    seconds[f"{SCAN}, CPU"] = time.process_time() - cpu
    seconds["one board"] = one_board(home, high)
    differences = [one.explanation for result in results for one in result.differences]
    verdict = "; ".join(differences + [fault.sentence for fault in ledger.faults]) or "MATCH"
    return {"seconds": seconds, "peak_rss_mib": peak, "minutes": rows, "verdict": verdict}


def bare_scan(home: Path) -> float:
    """Seconds in which DuckDB reads the columns once."""
    with duckdb.connect(config={"threads": THREADS}) as database:
        open_archive(database, home / TOPIC)
        started = time.perf_counter()
        database.execute(SCAN_SQL.read_text(encoding="utf-8")).fetchall()
        return time.perf_counter() - started


def one_board(home: Path, high: dict[int, int]) -> float:
    """Seconds for the first board without a window, after the search for copies."""
    board = next(board for board in load_boards().values() if board.ranked and board.window is None)
    with recompute(home) as opened:
        opened.query(opened.at({}), "SELECT 1")  # the first query finds the copies
        started = time.perf_counter()
        board_rows(opened, opened.at(high), board)
        return time.perf_counter() - started


def job_ledger(jobs: list[str], minutes: list[dict]) -> JobLedger:
    """Counters of jobs that count every record and drop every copy."""
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
    """The archive, opened as a reconciliation opens it."""
    spill = home / "spill"
    spill.mkdir(exist_ok=True)
    return ArchiveDatabase(ArchiveSource(home / TOPIC, late_ms=SCORES.lateness_ms), spill)


STEPS = {"prepare": prepare, "round": one_round}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]))))
