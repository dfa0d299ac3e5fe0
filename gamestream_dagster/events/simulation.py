"""Runs the simulator into Kafka, with the ground truth beside it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.pacing import Pacer
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.score_event import encode_json
from gamestream_dagster.events.simulator import Encode, SimulatorOptions, simulate
from gamestream_dagster.events.truth import Truth


@dataclass
class SimulationResult:
    """The outcome of a simulation; every record was delivered."""

    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    interrupted: bool = False
    truth: Path | None = None

    @property
    def per_second(self) -> float:
        """Records delivered per second."""
        return self.sent / self.seconds if self.seconds else 0.0


def run_simulation(
    options: SimulatorOptions,
    producer: ScoreProducer,
    truth_path: Path | None,
    *,
    encode: Encode = encode_json,
    paced: bool = True,
    on_progress: Callable[[SimulationResult], None] = lambda result: None,
) -> SimulationResult:
    """Send a simulated stream; Ctrl-C ends it cleanly.

    Args:
        options: the stream.
        producer: where to.
        truth_path: Parquet file of the ground truth; None: not written.
        encode: JSON or Avro.
        paced: send each record when it is due; False: as fast as possible.
        on_progress: receives progress now and then.

    Raises:
        SendingError: not all records could be delivered.
    """
    result = SimulationResult(truth=truth_path)
    started = time.monotonic()
    with until_interrupted() as stopped, Truth(truth_path) if truth_path else nullcontext() as truth:
        pacer = Pacer(producer, stopped) if paced else None
        try:
            for record in simulate(options, encode):
                if pacer is not None:
                    pacer.wait(record.due_ms)
                if stopped():
                    result.interrupted = True
                    break
                producer.send(record.key, record.value, truth.on_delivered(record) if truth else None)
                result.sent += 1
                result.kinds[record.kind.value] += 1
                if result.sent % 500 == 0:
                    on_progress(result)
        except KeyboardInterrupt:
            result.interrupted = True
        producer.flush()
        result.seconds = time.monotonic() - started
    on_progress(result)
    return result
