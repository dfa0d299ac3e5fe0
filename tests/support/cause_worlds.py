"""Small worlds with a fault in them: what the topic holds, and what a faulty job makes of it. Plain Python, no SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gamestream_dagster.archive.erased_counts import count_files, counts_dir, counts_kept
from gamestream_dagster.archive.erasing import erase_from_archive
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.events.suppression import NOBODY, Suppression, suppress
from gamestream_dagster.privacy.player import player_of
from gamestream_dagster.reconciliation.causes.erased import ErasedRecords
from gamestream_dagster.reconciliation.causes.explain import Explainer
from gamestream_dagster.reconciliation.causes.job_facts import JobFacts
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.causes.topic_history import TopicHistory, read_history
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import FaultKind, JobCut, LedgerFault
from gamestream_dagster.reconciliation.model.values import Difference, Row, Sink
from gamestream_dagster.reconciliation.observe.board_topic import Change, Key
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION
from tests.support import reference_model as model
from tests.support.archive_maker import archive_records, open_folder
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

START = 1_700_000_000_000  # a multiple of 5 s
MINUTE = 60_000
BOTH = (Sink.POSTGRES, Sink.KAFKA)


@dataclass(frozen=True)
class Sent:
    """A record of the topic: what a producer sent, when Kafka took it."""

    user: str
    score: Any
    at: int = 0
    """Kafka time, ms after START."""
    behind: int = 0
    """How far the event time is behind it, ms."""
    event_id: str | None = None
    team: str | None = None
    note: str = ""
    """What a faulty job does with it: the tests' own marks."""

    @property
    def event_time(self) -> int:
        return START + self.at - self.behind


@dataclass(frozen=True)
class World:
    """Records by partition, in order of offset."""

    sent: Mapping[int, Sequence[Sent]]
    faults: tuple[LedgerFault, ...] = ()
    facts: JobFacts | None = None
    held: Sequence[Sequence[Row]] = ()
    """What the board's topic held before what it holds now: whole boards, one after the other."""

    @property
    def cut(self) -> dict[int, int]:
        return {partition: len(records) for partition, records in self.sent.items()}

    def events(self, counts: Callable[[Sent], int | bool]) -> list[Event]:
        """What a job counts: each record as often as `counts` says."""
        return [
            Event(partition, offset, one.user, team_of(one), f"Team {team_of(one)}", one.score, one.event_time)
            for partition, records in self.sent.items()
            for offset, one in enumerate(records)
            for _ in range(int(counts(one)))
        ]

    def truth(self) -> list[Event]:
        """What counts: accepted, and each id once."""
        seen: set[tuple[str, str]] = set()
        kept: list[Event] = []
        for partition, records in self.sent.items():
            for offset, one in enumerate(records):
                if not isinstance(one.score, int) or one.score < 0 or (one.user, one.event_id) in seen:
                    continue
                if one.event_id is not None:
                    seen.add((one.user, one.event_id))
                kept.append(
                    Event(partition, offset, one.user, team_of(one), f"Team {team_of(one)}", one.score, one.event_time)
                )
        return kept

    def counted(self, job: str, counts: Callable[[Sent], int | bool] | None = None) -> JobLedger:
        """What the job's own ledger tells: what `counts` counts, by default what is true; a lost run it never read."""
        true = {(event.partition, event.offset) for event in self.truth()}
        lost = {
            (one.partition, offset)
            for one in self.faults
            if one.kind is FaultKind.MISSING
            for offset in range(one.first_offset, one.last_offset + 1)
        }
        rows: dict[tuple[int, int], dict[str, Any]] = {}
        for partition, records in self.sent.items():
            for offset, one in enumerate(records):
                if (partition, offset) in lost:
                    continue
                times = int(counts(one)) if counts else (partition, offset) in true
                for minute in ((START + one.at) // MINUTE * MINUTE, WHOLE_PARTITION):
                    row = rows.setdefault((partition, minute), _empty(job, partition, minute, offset))
                    row["records"] += max(1, times)
                    row["accepted"] += times
                    row["duplicate"] += not times and isinstance(one.score, int) and one.score >= 0
                    row["last_offset"] = offset
        ledger = JobLedger()
        for row in rows.values():
            # the job of hot streaks does not count copies
            uncounted = {"accepted": row["accepted"] + row["duplicate"], "duplicate": None} if "hot" in job else {}
            ledger.add(row | uncounted)
        return ledger


def _empty(job: str, partition: int, minute: int, offset: int) -> dict[str, Any]:
    sums = dict.fromkeys(("records", "accepted", "duplicate", "offset_sum", "offset_square_sum"), 0)
    return {"job": job, "partition_id": partition, "minute_millis": minute, "first_offset": offset} | sums


def copy_of(one: Sent, at: int, **changes: Any) -> Sent:
    """The very same event, sent again at another time."""
    return replace(one, **({"at": at, "behind": one.behind + at - one.at} | changes))


def team_of(one: Sent) -> str:
    return one.team or f"t{ord(one.user[-1]) % 3}"


@contextmanager
def opened(world: World, tmp_path: Path) -> Iterator[ArchiveDatabase]:
    """The archive of a world, and the database over it."""
    records = {
        (partition, offset): (_value(one), START + one.at)
        for partition, sent in world.sent.items()
        for offset, one in enumerate(sent)
    }
    with open_folder(archive_records(tmp_path / "user-score", records), tmp_path) as archive:
        yield archive


def _value(one: Sent) -> bytes:
    fields = {
        "user_id": one.user,
        "team_id": team_of(one),
        "team_name": f"Team {team_of(one)}",
        "score": one.score,
        "event_time_millis": one.event_time,
    }
    return orjson.dumps(fields if one.event_id is None else fields | {"event_id": one.event_id})


def explained(
    world: World,
    tmp_path: Path,
    board: str,
    postgres: Sequence[Row],
    *,
    kafka: Sequence[Row] | None = None,
    low: Mapping[int, int] | None = None,
    counts: Callable[[Sent], int | bool] | None = None,
    ledger: JobLedger | None = None,
    erased: str | None = None,
    kept: bool = True,
) -> list[Difference]:
    """The differences of a board in Postgres, with their causes; the Kafka board shows the same unless it is given.

    `counts`: how often the job's own ledger says that it counted a record (see `World.counted`); or that ledger itself.
    `erased`: a player who is erased from the archive before the comparison; `kept`: what the records gave to counts was
    set aside.
    """
    boards = load_boards()
    described = boards[board]
    mine = {name: one for name, one in boards.items() if one.job == described.job}
    shown = {Sink.POSTGRES: list(postgres), Sink.KAFKA: list(postgres if kafka is None else kafka)}
    low_cut = dict(world.cut if low is None else low)
    seen = Observation(
        jobs={described.job: JobCut(described.job, "id", "print", 1, low_cut)},
        high=world.cut,
        boards={(board, sink): shown[sink] for sink in BOTH},
        counted=world.counted(described.job, counts) if ledger is None else ledger,
    )
    with ExitStack() as closing:
        archive = closing.enter_context(opened(world, tmp_path))
        suppression, records = NOBODY, None
        if erased is not None:
            archive.close()
            suppression, archive, restored = _erase(tmp_path, erased, closing)
            records = ErasedRecords(restored, seen.counted, world.faults, suppression, "user-score") if kept else None
        since = {described.job: low_cut}
        found = examine(archive, [described], BOTH, seen=seen, since=since)
        explainer = Explainer(
            archive=archive,
            boards=mine,
            seen=seen,
            witnesses={(one.board, one.sink): one for one in found},
            faults=world.faults,
            facts={} if world.facts is None else {described.job: replace(world.facts, job=described.job)},
            policy=load_policy(),
            topic="user-score",
            history=lambda described, rows: topic_history(described, [*world.held, shown[Sink.KAFKA]], rows),
            suppression=suppression,
            erased=lambda: records,
        )
        results = explainer.explain([one for one in found if one.sink is Sink.POSTGRES])
    return [one for result in results for one in result.differences]


def _erase(tmp_path: Path, user: str, closing: ExitStack) -> tuple[Suppression, ArchiveDatabase, ArchiveDatabase]:
    """The suppression list, the archive without a player, and the one with what the player's records gave to counts."""
    stack = Settings(home=tmp_path / "home")
    suppression = suppress(stack, user, 1)
    folder = tmp_path / "user-score"
    kept = counts_kept(stack, SCORES, suppression.key, begin=True)
    erase_from_archive(folder, player_of(stack, user), 1, kept=kept)
    files = count_files(counts_dir(stack) / SCORES.topic, 1)
    plain = closing.enter_context(open_folder(folder, tmp_path))
    return suppression, plain, closing.enter_context(ArchiveDatabase(plain.source, tmp_path, erased=files))


def changes(board: Board, boards: Sequence[Sequence[Row]]) -> Iterator[Change]:
    """The topic of a board that was each of `boards` in turn: a record for each row that changed."""
    offset, before = 0, dict[int, Row]()
    for rows in boards:
        now = {row["rnk"]: row for row in rows}
        for rank in sorted(before.keys() | now.keys()):
            if before.get(rank) != now.get(rank):
                value = None if rank not in now else orjson.dumps(_written(now[rank]), default=str)
                yield Change(0, offset, orjson.dumps({"rnk": rank}), value)
                offset += 1
        before = now


def _written(row: Row) -> Row:
    if "as_of" not in row:
        return row
    return {**row, "as_of": f"{datetime.fromtimestamp(row['as_of'] / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"}


def topic_history(board: Board, boards: Sequence[Sequence[Row]], shown: Mapping[Key, Row]) -> TopicHistory:
    """The history of such a topic."""
    return read_history(board, changes(board, boards), shown)


def players(events: Sequence[Event], rows: int = 10) -> list[Row]:
    """The rows of `top_players` that some events give."""
    return model.top_players(events, rows)


def steady(count: int = 30, users: int = 6) -> list[Sent]:
    """Well-behaved events, each with an id, one a second; totals all differ."""
    return [
        Sent(f"p{n % users}", 10 + n * 7 % 13 + 100 * (n % users), at=n * 1000, event_id=f"e{n}") for n in range(count)
    ]
