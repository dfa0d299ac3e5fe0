"""Proves the set of ranks against a recompute of the archived events at the set's own cut."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import valkey

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.valkey import client, sentences
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.serving_api.ranks.loader import ROUND_SECONDS
from gamestream_dagster.serving_api.ranks.ranked import ranked_of
from gamestream_dagster.serving_api.ranks.store import EXACT_BELOW, RankStore, SetKeys, SetProof, SetState
from gamestream_dagster.serving_api.ranks.totals_topic import incarnation
from gamestream_dagster.settings import Settings

MOST_SHOWN: Final = 20
HOLD_SECONDS: Final = 120
"""After so long the loader goes on, whatever became of the proof."""
CUT_SECONDS: Final = 30.0
"""Longest wait for a set with a known cut."""
_STEP: Final = 10_000


@dataclass(frozen=True)
class WrongTotal:
    """A player whose total no cut in the bracket gives."""

    player: str
    shown: int | None
    """None: the set does not have the player."""
    low: int | None
    """Total at the low cut; None: no event is about the player."""
    high: int | None
    """Total at the high cut."""


@dataclass(frozen=True)
class RankProof:
    """What a proof found."""

    verdict: Verdict
    state: SetState
    players: int
    """Compared."""
    differing: int
    wrong: tuple[WrongTotal, ...]
    """The first of them, by id."""
    run_id: str


def verify_ranks(settings: Settings, say: Callable[[str], None] = lambda _: None) -> RankProof:
    """Compare every player's total with the events, and note the verdict beside the set.

    The loader waits while the set is read, so that all of it is of one cut.

    Raises:
        SettingsError: the stack keeps no ranks.
        CouldNotLookError: the set has no known cut, or changed meanwhile.
        ArchiveError, ServiceError: the archive or a server cannot be read.
    """
    ranked, admin = ranked_of(settings), KafkaAdmin(settings.kafka)
    source = source_of_board(ranked.output, stack_sources(settings))
    keys = SetKeys(incarnation(admin, ranked.output.topic))
    with client(settings) as opened:
        store = RankStore(opened, keys, settings.valkey)
        say("ranks")
        _wait_for_cut(store)
        with _held(opened, keys, settings.valkey):
            state = _settled(store)
            shown = _totals(opened, keys, settings.valkey, store.players())
            if store.state() != state:
                raise CouldNotLookError("the ranks changed while they were read", "run the command again")
        say("archive")
        archive_topic(settings, source, state.high, topic_id=state.topic_id)
        say("recompute")
        with open_recompute(settings, source, say=say) as archive:
            at = archive.at(state.high or {}, state.low)
            sql = (Path(__file__).parent / "sql" / "differing.sql").read_text(encoding="utf-8")
            rows = archive.query(at, sql, {"shown": shown}, most=MOST_SHOWN)
        wrong = tuple(WrongTotal(row["player"], row["total"], row["low_total"], row["high_total"]) for row in rows)
        verdict = Verdict.DIFFERENT if wrong else Verdict.MATCH
        differing = rows[0]["differing"] if rows else 0
        proof = RankProof(verdict, state, shown.num_rows, differing, wrong, uuid.uuid4().hex[:12])
        _note(opened, keys, settings.valkey, proof)
    return proof


@contextmanager
def _held(opened: valkey.Valkey, keys: SetKeys, where: str) -> Iterator[None]:
    with sentences(where):
        mine = opened.set(keys.hold, b"1", ex=HOLD_SECONDS, nx=True)
    if not mine:
        raise CouldNotLookError("another proof reads the ranks at the moment", "run the command again after it")
    try:
        yield
    finally:
        with sentences(where):
            opened.delete(keys.hold)


def _wait_for_cut(store: RankStore) -> None:
    """Wait until the loader, which has perhaps just begun, knows the cut: under a hold it would not go on."""
    deadline = time.monotonic() + CUT_SECONDS
    while (why := _unknown(state := store.state())) is not None:
        if time.monotonic() > deadline:
            see = "run the command again in a moment" if state.position else "see `gamestream status`"
            raise CouldNotLookError(why, see)
        time.sleep(ROUND_SECONDS)


def _settled(store: RankStore) -> SetState:
    """The state once the loader has seen that it must wait."""
    time.sleep(2 * ROUND_SECONDS)
    before = store.state()
    deadline = time.monotonic() + CUT_SECONDS
    while True:
        time.sleep(2 * ROUND_SECONDS)
        state = store.state()
        if state == before:
            break
        if time.monotonic() > deadline:
            raise CouldNotLookError("the loader does not hold still", "see `gamestream logs ranks`")
        before = state
    if (why := _unknown(state)) is not None:
        raise CouldNotLookError(why, "run the command again in a moment")
    return state


def _unknown(state: SetState) -> str | None:
    """Why the ranks cannot be compared; None where they can."""
    if not state.position:
        return "the ranks are not being loaded"
    if not state.complete:
        return "the ranks are being loaded from their topic"
    if state.low is None or state.high is None:
        return f"the cut of the ranks is unknown: {state.reason}"
    return None


def _totals(opened: valkey.Valkey, keys: SetKeys, where: str, players: int) -> pa.Table:
    """Every player and total, in two columns: some 40 bytes each."""
    batches: list[Any] = []
    with sentences(where):
        beyond = {name: int(total) for name, total in opened.hscan_iter(keys.beyond, count=_STEP)}
        for first in range(0, players, _STEP):
            rows: Any = opened.zrange(keys.ranks, first, first + _STEP - 1, withscores=True)
            totals = [beyond.get(name, -int(score)) if -score >= EXACT_BELOW else -int(score) for name, score in rows]
            names = [name.decode("utf-8", "replace") for name, _ in rows]
            batches.append(
                pa.record_batch({"player": pa.array(names, pa.string()), "total": pa.array(totals, pa.int64())})
            )
    schema = pa.schema({"player": pa.string(), "total": pa.int64()})
    return pa.Table.from_batches(batches, schema)


def _note(opened: valkey.Valkey, keys: SetKeys, where: str, proof: RankProof) -> None:
    found = SetProof(
        run=proof.run_id,
        verdict=proof.verdict.value,
        reason=f"{proof.differing} totals differ" if proof.differing else "",
        finished_ms=int(time.time() * 1000),
        players=proof.players,
    )
    with sentences(where):
        opened.set(keys.proof, found.packed())
