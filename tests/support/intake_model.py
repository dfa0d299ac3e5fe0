"""An intake in memory: raw records, what a right intake writes about them, and a proof of both over real files."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, Fate
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.intake.archived import ALL, JudgedIntake, Window
from gamestream_dagster.reconciliation.intake.findings import faults_of
from gamestream_dagster.reconciliation.intake.http_stage import HttpStage
from gamestream_dagster.reconciliation.intake.ledger import intake_ledger
from gamestream_dagster.reconciliation.intake.model import FateFault, IntakeLedger
from gamestream_dagster.reconciliation.intake.outputs import Outputs
from gamestream_dagster.reconciliation.model.values import Cause
from gamestream_dagster.reconciliation.observe.job_ledger import COUNTS, JobLedger
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES

NOW = 1_700_000_000_000
MINUTE = 60_000
HORIZON = 12 * MINUTE
JUDGE = GameEventJudge()
Record = tuple[bytes | None, int]
Place = tuple[int, int]
NOTHING_OVER_HTTP = HttpStage({}, {}, 0)


def event(event_id: str, **changes: object) -> bytes:
    fields = {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": NOW, "properties": {}}
    return orjson.dumps(fields | changes)


def score(event_id: str, points: int = 4, **changes: object) -> bytes:
    own = {"team_id": "t", "team_name": "T", "score": points}
    return event(event_id, event_type="score", properties=own, **changes)


@dataclass
class Intake:
    """Raw records by partition, and what a right intake writes about them."""

    folder: Path
    raw: dict[int, list[Record]] = field(default_factory=dict)
    written: dict[Fate, list[tuple[dict[str, Any] | bytes, int]]] = field(
        default_factory=lambda: {fate: [] for fate in OUTPUT_TOPICS}
    )
    scores: list[bytes] = field(default_factory=list)
    begins: dict[str, int] = field(default_factory=dict)
    """First offset of an output's partition 0, by topic."""
    _seen: dict[tuple[str | None, str], tuple[str, int]] = field(default_factory=dict)

    def take(self, value: bytes | None, at: int = NOW, partition: int = 0, *, forget: bool = False) -> Place:
        """One record comes in and is written where it belongs; `forget`: its id has expired."""
        self.raw.setdefault(partition, []).append((value, at))
        place = partition, len(self.raw[partition]) - 1
        outcome = JUDGE.judge(value, at)
        if not isinstance(outcome, GameEvent):
            self.write(Fate.DEAD, self.letter(place, outcome.reason.value), at)
            return place
        identity = outcome.user_id, outcome.event_id
        known = None if forget else self._seen.get(identity)
        if known is None:
            self._seen[identity] = outcome.digest, at
            self.write(Fate.LATE if outcome.late else Fate.ENRICHED, self.row(place, outcome.digest), at)
            if outcome.event_type == "score" and not outcome.late:
                own = orjson.loads(outcome.properties)
                told = {"user_id": outcome.user_id, "event_id": outcome.event_id, "event_time_millis": NOW}
                self.scores.append(orjson.dumps(own | told))
        elif known[0] != outcome.digest:
            self.write(Fate.DEAD, self.letter(place, "DUP_CONFLICT"), at)
        return place

    def write(self, fate: Fate, record: dict[str, Any] | bytes, at: int = NOW) -> None:
        self.written[fate].append((record, at + 500))

    def row(self, place: Place, digest: str) -> dict[str, Any]:
        return {"raw_partition": place[0], "raw_offset": place[1], "digest": digest}

    def letter(self, place: Place, reason: str) -> dict[str, Any]:
        value, at = self.raw[place[0]][place[1]]
        found = {
            "reason": reason, "source_topic": RAW_TOPIC, "source_partition": place[0], "source_offset": place[1],
            "source_time_millis": at,
        }  # fmt: skip
        if reason == "NOT_UTF8":
            return found | {"content_base64": base64.b64encode(value or b"").decode()}
        return found if value is None else found | {"content": value.decode()}

    def unwrite(self, fate: Fate, place: Place) -> tuple[dict[str, Any], int]:
        """Take what is written about a position away."""
        names = ("source_partition", "source_offset") if fate is Fate.DEAD else ("raw_partition", "raw_offset")
        for number, (record, at) in enumerate(self.written[fate]):
            if isinstance(record, dict) and (record[names[0]], record[names[1]]) == place:
                del self.written[fate][number]
                return record, at
        raise AssertionError(f"nothing is written about {place}")

    def archive(self) -> None:
        """What is not archived yet."""
        folder = self.folder / RAW_TOPIC
        upto = load_manifest(folder).archived_upto
        for partition, records in self.raw.items():
            if new := records[upto.get(partition, 0) :]:
                write_records(folder, GAME_EVENTS, new, partition=partition)
        folder = self.folder / "user-score"
        if new_scores := self.scores[load_manifest(folder).archived_upto.get(0, 0) :]:
            write_records(folder, SCORES, [(one, NOW) for one in new_scores])

    def reading(self, _kafka: object, topic: str, start: Mapping[int, int], _upto: object, **_: int) -> Iterator[Chunk]:
        [fate] = [fate for fate, name in OUTPUT_TOPICS.items() if name == topic]
        found = self.written[fate][start[0] :]
        values = [record if isinstance(record, bytes) else orjson.dumps(record) for record, _ in found]
        offsets = list(range(start[0], start[0] + len(found)))
        yield Chunk(0, Raw(offsets, [at for _, at in found], [None] * len(found), values), len(self.written[fate]))


@dataclass
class Judged:
    counts: dict[str, int]
    faults: list[FateFault]
    ledger: IntakeLedger

    @property
    def told(self) -> list[tuple[str, Place, int, Cause]]:
        return [(one.kind.value, (one.partition, one.first_offset), one.records, one.cause) for one in self.faults]


def judged(
    intake: Intake,
    *,
    low: Mapping[int, int] | None = None,
    high: Mapping[int, int] | None = None,
    counted: Mapping[int, int] | None = None,
    eras: tuple[int, ...] = (),
    http: HttpStage = NOTHING_OVER_HTTP,
    since: int = 0,
    window: Window = ALL,
) -> Judged:
    """Judge; everything is before the low cut, and read, unless told otherwise."""
    intake.archive()
    folder = intake.folder / RAW_TOPIC
    ends = {partition: len(records) for partition, records in intake.raw.items()}
    admin = SimpleNamespace(
        kafka=None,
        beginning_offsets=lambda topic: {0: intake.begins.get(topic, 0)},
        describe=lambda topic: SimpleNamespace(config={"retention.ms": str(3 * 24 * 60 * MINUTE)}),
    )
    ledger = JobLedger()
    for partition, end in ends.items():
        records = end if counted is None else counted[partition]
        ledger.totals[INTAKE_JOB, partition] = {"records": records, "last_offset": end - 1}
        for minute, count in Counter(at // MINUTE * MINUTE for _, at in intake.raw[partition][:records]).items():
            numbers = dict.fromkeys(COUNTS, 0) | {"records": count, "last_offset": end - 1}
            ledger.add({"job": INTAKE_JOB, "partition_id": partition, "minute_millis": minute, **numbers})
    with JudgedIntake(folder, GAME_EVENTS, intake.folder / "tmp") as archived:
        outputs = Outputs(
            archived.database, admin, {topic: {0: 0} for topic in OUTPUT_TOPICS.values()}, eras, chunks=intake.reading
        )
        for fate in OUTPUT_TOPICS:
            outputs.read(fate)
        archived.bound(low or ends, high or ends, ends, window)
        if len(eras) > 1:
            archived.superseded()
        archived.judge()
        archived.judge_scores(intake.folder / "user-score", len(eras))
        counts: dict[str, int] = {}
        for row in archived.counts():
            key = f"{row['fate']}/{row['verdict']}"
            counts[key] = counts.get(key, 0) + row["records"]
        faults = faults_of(archived, outputs.unreadable, ledger, load_policy())
        stages = intake_ledger(archived, http, ledger, since)
    return Judged(counts, faults, stages)


def some_of_everything(folder: Path) -> Intake:
    """Fates, copies, conflicts and scores in two partitions."""
    made = Intake(folder)
    for partition in (0, 1):
        name = f"e{partition}"
        made.take(event(name), partition=partition)
        made.take(event(name), partition=partition)
        made.take(event(name, properties={"other": 1}), partition=partition)
        made.take(event(f"late{partition}", event_time=NOW - 11 * MINUTE), partition=partition)
        made.take(b"\xff", partition=partition)
        made.take(None, partition=partition)
        made.take(b'{"event_type": "nothing"}', partition=partition)
        made.take(score(f"s{partition}"), partition=partition)
        made.take(event(f"with{partition}", ip_address="203.0.113.77"), partition=partition)
    return made
