"""How many events a second the streaming jobs take from a full topic, with their real sinks.

Each round replays the whole topic into a fresh state. The rate is that between the first sample past 10 % and the last
one before 90 % of the events, as the job's own ledger shows them: its start and its last batch are left out.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import typer
from sqlalchemy import Engine, text

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import simulate_into
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs import manager as jobs
from gamestream_dagster.flink_jobs.catalogue import load_jobs
from gamestream_dagster.flink_jobs.planner import Choice
from gamestream_dagster.platform import ports
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Settings, load_settings

RESULTS = Path(__file__).parent / "results"
LIMIT_SECONDS = 600
SEEN = text("SELECT coalesce(sum(records), 0) FROM job_ledger WHERE job = :job AND minute_millis < 0")


def main(events: int = 2_000_000, players: int = 20_000, rounds: int = 3, job: list[str] | None = None) -> None:
    """Measure, print and store."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    settings = load_settings(home=folder / "home", port_base=ports.free_base(random.randrange(29000, 31500, 20)))
    try:
        Stack(settings).up(("kafka", "registry", "postgres", "flink"))
        result = measure(settings, events, players, rounds, job or list(load_jobs()))
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"leaderboards_rate_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(result, indent=2))


def measure(settings: Settings, events: int, players: int, rounds: int, names: list[str]) -> dict:
    """Fill the topic once, then replay it `rounds` times through each job."""
    manager.apply(
        settings, manager.plan(settings, tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB))
    )
    start = int((time.time() - events / 20_000 - 60) * 1000)
    options = SimulatorOptions(
        start_ms=start, events=events, rate=20_000, players=players, teams=max(15, players // 20)
    )
    sent = simulate_into(settings, options, paced=False)
    rates: dict[str, list[float]] = {name: [] for name in names}
    with open_engine(settings) as engine:
        for number in range(rounds):
            for name in names:
                rates[name].append(one_round(settings, engine, name, number))
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": sent.sent,
        "players": players,
        "produced_per_second": round(sent.per_second),
        "events_per_second": {
            name: {
                "min": round(min(found)),
                "median": round(statistics.median(found)),
                "max": round(max(found)),
                "rounds": rounds,
            }
            for name, found in rates.items()
        },
    }


def one_round(settings: Settings, engine: Engine, job: str, number: int) -> float:
    """Events a second of one replay. Sampled beside the deployment, which only ends with the first checkpoint."""
    total = sum(KafkaAdmin(settings.kafka).end_offsets("user-score").values())
    failed: list[BaseException] = []

    def deploy() -> None:
        try:
            jobs.apply_job(settings, job, choice=Choice.REPLAY if number else Choice.NONE)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=deploy)
    thread.start()
    samples: list[tuple[float, int]] = []
    deadline = time.monotonic() + LIMIT_SECONDS
    while not failed and (thread.is_alive() or not samples or samples[-1][1] < total):
        with engine.connect() as database:
            seen = int(database.execute(SEEN, {"job": job}).scalar_one())
        if samples and seen < samples[-1][1]:  # the new version has begun to write
            samples.clear()
        samples.append((time.monotonic(), seen))
        if time.monotonic() > deadline:
            raise typer.Exit(2)
        time.sleep(0.1)
    thread.join()
    if failed:
        raise failed[0]
    inner = [one for one in samples if total * 0.1 <= one[1] <= total * 0.9]
    if len(inner) < 2 or inner[-1][1] == inner[0][1]:
        raise typer.BadParameter(f"{total} events are read too quickly to be timed; take more with --events")
    return (inner[-1][1] - inner[0][1]) / (inner[-1][0] - inner[0][0])


if __name__ == "__main__":
    typer.run(main)
