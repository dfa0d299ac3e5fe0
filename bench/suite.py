"""All measures by name: their requirements, and their order in `all`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import intake, latency, peers, produce, proof, ranks, recompute, recovery, security, settle, state, streaming
from bench import transactions as transactions_measure
from bench.archive import ArchiveOptions
from bench.archive import measure as measure_archive
from bench.results import BenchError, Result
from bench.rounds import Say
from bench.stacks import SERVERS, stack_for
from gamestream_dagster.settings import Ranks, Settings


@dataclass(frozen=True)
class Choices:
    """The options of the command line. `events` None: each measure has its own number."""

    rounds: int = 5
    events: int | None = None
    players: tuple[int, ...] = (20_000, 1_000, 200_000)
    rates: tuple[int, ...] = (1_000, 5_000, 20_000)
    seconds: float = 5.0
    zipf: float = 1.1
    seed: int = 1
    sweep: bool = True
    reference: Path | None = None
    reference_events: int = streaming.StreamingOptions.seed_events
    quixstreams_python: Path | None = None
    stack: Path | None = None

    def events_or(self, default: int) -> int:
        """The requested number, else the measure's own."""
        return default if self.events is None else self.events


OnStack = Callable[[Settings, Choices, Say], Result]


def _streaming(settings: Settings, asked: Choices, say: Say) -> Result:
    options = streaming.StreamingOptions(
        rounds=asked.rounds,
        events=asked.events_or(streaming.StreamingOptions.events),
        seed_events=asked.reference_events,
        players=asked.players,
        zipf=asked.zipf,
        seed=asked.seed,
        reference=asked.reference,
        sweep=asked.sweep,
    )
    return streaming.measure(settings, options, say)


def _latency(settings: Settings, asked: Choices, say: Say) -> Result:
    options = latency.LatencyOptions(
        rounds=asked.rounds, rates=asked.rates, seconds=asked.seconds, players=asked.players[0], seed=asked.seed
    )
    return latency.measure(settings, options, say)


def _archive(settings: Settings, asked: Choices, say: Say) -> Result:
    options = ArchiveOptions(asked.rounds, asked.events_or(ArchiveOptions.events), asked.players[0], asked.seed)
    return measure_archive(settings, options, say)


def _peers(settings: Settings, asked: Choices, say: Say) -> Result:
    options = peers.PeerOptions(
        asked.rounds, asked.events_or(peers.PeerOptions.events), asked.players[0], asked.seed, asked.quixstreams_python
    )
    return peers.measure(settings, options, say)


def _produce(settings: Settings, asked: Choices, say: Say) -> Result:
    events = asked.events_or(produce.ProduceOptions.events)
    options = produce.ProduceOptions(asked.rounds, events, asked.players[0], asked.seed)
    return produce.measure(settings, options, say)


def _state(settings: Settings, asked: Choices, say: Say) -> Result:
    events = asked.events_or(state.StateOptions.events)
    options = state.StateOptions(asked.rounds, events, asked.players, asked.seed)
    return state.measure(settings, options, say)


def _settle(settings: Settings, asked: Choices, say: Say) -> Result:
    events = asked.events_or(settle.SettleOptions.events)
    return settle.measure(settings, settle.SettleOptions(asked.rounds, events, asked.players[-1], asked.seed), say)


def _transactions(settings: Settings, asked: Choices, say: Say) -> Result:
    events = asked.events_or(transactions_measure.TransactionsOptions.events)
    return transactions_measure.measure(settings, transactions_measure.TransactionsOptions(events, asked.seed), say)


def _security(settings: Settings, asked: Choices, say: Say) -> Result:
    events = asked.events_or(security.SecurityOptions.lines)
    return security.measure(settings, security.SecurityOptions(asked.rounds, events, asked.seed), say)


ON_STACK: dict[str, OnStack] = {
    "streaming": _streaming,
    "latency": _latency,
    "produce": _produce,
    "archive": _archive,
    "peers": _peers,
    "settle": _settle,
    "transactions": _transactions,
    "security": _security,
}
MEASURES = (*ON_STACK, "intake", "ranks", "state", "recompute", "proof", "recovery")


def run(measure: str, choices: Choices, folder: Path, say: Say) -> list[Result]:
    """Take one measure, or all; each result is stored as soon as it is there.

    Raises:
        BenchError: there is no such measure, or it could not be taken.
        PlatformError, ServiceError, FlinkJobError: a server does not start, does not answer, or refuses a job.
    """
    wanted = MEASURES if measure == "all" else (measure,)
    unknown = [name for name in wanted if name not in MEASURES]
    if unknown:
        raise BenchError(f"there is no measure {unknown[0]!r}; choose one of {', '.join(MEASURES)}, charts or all")
    found: list[Result] = []

    def keep(result: Result) -> None:
        found.append(result)
        say(f"result: {result.store(folder)}")

    on_stack = [name for name in wanted if name in ON_STACK]
    if on_stack:
        with stack_for(choices.stack, say) as settings:
            for name in on_stack:
                keep(ON_STACK[name](settings, choices, say))
    if "intake" in wanted:
        events = choices.events_or(intake.IntakeOptions.events)
        options = intake.IntakeOptions(choices.rounds, events // 8, events, choices.players[0], choices.seed)
        with stack_for(choices.stack, say, (*SERVERS, "ingest")) as settings:
            keep(intake.measure(settings, options, say))
    if "ranks" in wanted:
        with stack_for(choices.stack, say, ranks.SERVERS, ranks=Ranks.ALL) as settings:
            options = ranks.RanksOptions(choices.rounds, choices.events_or(ranks.RanksOptions.players))
            keep(ranks.measure(settings, options, say))
    if "state" in wanted:
        with stack_for(choices.stack, say, heap_mib=state.HEAP_MIB) as settings:
            keep(_state(settings, choices, say))
    if "recompute" in wanted:
        events = choices.events_or(recompute.RecomputeOptions.events)
        options = recompute.RecomputeOptions(choices.rounds, events, choices.players[0], choices.seed)
        keep(recompute.measure(options, say))
    if "proof" in wanted:
        sizes = proof.ProofOptions.sizes if choices.events is None else (choices.events,)
        keep(proof.measure(proof.ProofOptions(choices.rounds, sizes), say))
    if "recovery" in wanted:
        events = choices.events_or(recovery.RecoveryOptions.events)
        keep(recovery.measure(recovery.RecoveryOptions(choices.rounds, events), say))
    return found
