"""Replay and simulation against a stack: what `gamestream replay`, `gamestream simulate` and the demo call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gamestream_dagster.catalogue.sources import Source, score_source
from gamestream_dagster.clients.ingest_api import MAX_EVENTS, IngestApi
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.avro import score_encoder
from gamestream_dagster.events.file_lines import Renames
from gamestream_dagster.events.http_sending import OnWait
from gamestream_dagster.events.http_simulation import HttpSimulationResult, run_http_simulation
from gamestream_dagster.events.pacing import LONGEST_WAIT_SECONDS
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.readers import open_source
from gamestream_dagster.events.replay import BadLine, ReplayResult, Wait, replay, sample_path
from gamestream_dagster.events.score_event import encode_json
from gamestream_dagster.events.simulation import SimulationResult, run_simulation
from gamestream_dagster.events.simulator import Encode, SimulatorOptions
from gamestream_dagster.settings import Settings, TopicFormat


def replay_into(
    settings: Settings,
    file: str | Path,
    *,
    speed: float | None = None,
    longest_wait: float = LONGEST_WAIT_SECONDS,
    renames: Renames | None = None,
    rejects: Path | None = None,
    topic: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, size: None,
    on_bad: Callable[[BadLine], None] = lambda bad: None,
    on_wait: Callable[[Wait], None] = lambda wait: None,
) -> ReplayResult:
    """Replay a file, or a bundled sample by its name (`nba`), into a stack's score topic.

    Args:
        settings: which stack, and whether its topic holds JSON or Avro.
        file: path, or name of a sample.
        speed: factor on event time; None: as fast as possible.
        longest_wait: seconds that a gap between two events is waited for at most.
        renames: columns of the file that are fields of ours.
        rejects: file for bad lines; default `<home>/rejects/<name>-<time>.jsonl`.
        topic: default: the stream of score events in topics.yaml.
        on_progress: told how far it has come, and how far there is to go.
        on_bad: told each bad line.
        on_wait: told each long wait.

    Raises:
        ReadingError, SendingError, AvroFormatError: see there; each says what to do.
    """
    path = sample_path(str(file)) or Path(file)
    open_source(path, renames)  # what is wrong with the file is said before a broker is asked
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = rejects or settings.home / "rejects" / f"{path.name.partition('.')[0]}-{now}.jsonl"
    target = _target(settings, topic)
    with _encoder(settings, target) as encode, ScoreProducer(settings.kafka, target.topic) as producer:
        return replay(
            path,
            producer,
            aside,
            encode=encode,
            speed=speed,
            longest_wait=longest_wait,
            renames=renames,
            on_progress=on_progress,
            on_bad=on_bad,
            on_wait=on_wait,
        )


def simulate_into(
    settings: Settings,
    options: SimulatorOptions,
    *,
    truth: Path | None = None,
    paced: bool = True,
    topic: str | None = None,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
) -> SimulationResult:
    """Simulate a crowd into a stack's score topic.

    Args:
        settings: which stack, and whether its topic holds JSON or Avro.
        options: what to simulate.
        truth: Parquet file of the ground truth; None: none is written.
        paced: send each record when it is due; False: as fast as possible.
        topic: default: the stream of score events in topics.yaml.
        on_progress: told now and then.

    Raises:
        SendingError, AvroFormatError: see there; each says what to do.
    """
    target = _target(settings, topic)
    with _encoder(settings, target) as encode, ScoreProducer(settings.kafka, target.topic) as producer:
        return run_simulation(options, producer, truth, encode=encode, paced=paced, on_progress=on_progress)


def simulate_over_http(
    url: str,
    key: str,
    options: SimulatorOptions,
    *,
    truth: Path | None = None,
    paced: bool = True,
    batch: int = MAX_EVENTS,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
    on_wait: OnWait = lambda seconds, why: None,
) -> HttpSimulationResult:
    """Simulate a crowd that plays over the HTTP API.

    Args:
        url: root of the API.
        key: of an app, with the scope `ingest`.
        options, truth, paced, batch, on_progress, on_wait: as in `run_http_simulation`.

    Raises:
        SendingError, TerminalServiceError: see there; each says what to do.
    """
    with IngestApi(url, key) as api:
        return run_http_simulation(
            options, api, truth, batch=batch, paced=paced, on_progress=on_progress, on_wait=on_wait
        )


def _target(settings: Settings, topic: str | None) -> Source:
    found = score_source(settings)
    return found if topic is None else replace(found, topic=topic)


@contextmanager
def _encoder(settings: Settings, source: Source) -> Iterator[Encode]:
    if source.format is TopicFormat.JSON:
        yield encode_json
        return
    with Registry(settings.registry) as registry:
        yield score_encoder(registry, source)
