"""The proof of intake: an intake that does right is a match, and each fault that is planted in its outputs is named."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gamestream_dagster.archive.manifest import load_manifest
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, Fate
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.intake.archived import JudgedIntake
from gamestream_dagster.reconciliation.intake.findings import faults_of
from gamestream_dagster.reconciliation.intake.model import FateFault
from gamestream_dagster.reconciliation.intake.outputs import Outputs
from gamestream_dagster.reconciliation.model.values import Cause
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES

NOW = 1_700_000_000_000
MINUTE = 60_000
HORIZON = 12 * MINUTE
JUDGE = GameEventJudge()
Record = tuple[bytes | None, int]
Place = tuple[int, int]


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

    def reading(self, _kafka: object, topic: str, start: Mapping[int, int], _upto: object) -> Iterator[Chunk]:
        [fate] = [fate for fate, name in OUTPUT_TOPICS.items() if name == topic]
        found = self.written[fate][start[0] :]
        values = [record if isinstance(record, bytes) else orjson.dumps(record) for record, _ in found]
        offsets = list(range(start[0], start[0] + len(found)))
        yield Chunk(0, Raw(offsets, [at for _, at in found], [None] * len(found), values), len(self.written[fate]))


@dataclass
class Judged:
    counts: dict[str, int]
    faults: list[FateFault]

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
    with JudgedIntake(folder, GAME_EVENTS, intake.folder / "tmp") as archived:
        outputs = Outputs(
            archived.database, admin, {topic: {0: 0} for topic in OUTPUT_TOPICS.values()}, eras, chunks=intake.reading
        )
        for fate in OUTPUT_TOPICS:
            outputs.read(fate)
        archived.bound(low or ends, high or ends, ends)
        if len(eras) > 1:
            archived.superseded()
        archived.judge()
        archived.judge_scores(intake.folder / "user-score", len(eras))
        counts: dict[str, int] = {}
        for row in archived.counts():
            key = f"{row['fate']}/{row['verdict']}"
            counts[key] = counts.get(key, 0) + row["records"]
        faults = faults_of(archived, outputs.unreadable, ledger, load_policy())
    return Judged(counts, faults)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    """Some of everything in two partitions: fates, copies, conflicts, scores."""
    made = Intake(tmp_path)
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


def test_an_intake_that_does_right_has_no_fault(intake: Intake) -> None:
    found = judged(intake)
    assert found.faults == []
    assert found.counts == {"enriched/OK": 6, "late/OK": 2, "dead/OK": 8, "copy/OK": 2}


def test_what_came_between_the_cuts_may_have_its_fate_or_not(intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (0, 8))
    found = judged(intake, low={0: 8, 1: 9})
    assert found.faults == []
    assert found.counts["enriched/OPEN"] == 1
    beyond = judged(intake, high={0: 4, 1: 9}, low={0: 4, 1: 9})
    assert beyond.faults == []
    assert beyond.counts["None/OPEN"] == 4, "records about positions beyond the cut are not judged"


def test_a_record_without_an_output_is_missing(intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (1, 0))
    intake.unwrite(Fate.DEAD, (1, 4))
    intake.unwrite(Fate.DEAD, (1, 5))
    found = judged(intake)
    assert ("MISSING", (1, 4), 2, Cause.UNEXPLAINED) in found.told
    assert ("MISSING", (1, 0), 1, Cause.UNEXPLAINED) in found.told
    assert "read past them" in found.faults[0].sentence


def test_missing_records_that_the_job_never_counted(intake: Intake) -> None:
    for offset in (4, 5, 6):
        intake.unwrite(Fate.DEAD, (1, offset))
    found = judged(intake, counted={0: 9, 1: 6})
    assert found.told == [("MISSING", (1, 4), 3, Cause.MISSING_EVENTS)]


Spoil = Callable[[Intake], None]


def _twice(intake: Intake) -> None:
    intake.written[Fate.ENRICHED].append(intake.written[Fate.ENRICHED][0])


def _in_two_places(intake: Intake) -> None:
    intake.write(Fate.DEAD, intake.letter((0, 0), "OUT_OF_RANGE"))


def _elsewhere(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.LATE, (0, 3))
    intake.write(Fate.ENRICHED, record)


def _copy_refused(intake: Intake) -> None:
    intake.write(Fate.DEAD, intake.letter((0, 1), "DUP_CONFLICT"))


def _copy_counted(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.ENRICHED, (0, 0))
    intake.write(Fate.ENRICHED, record)
    intake.write(Fate.ENRICHED, record | {"raw_offset": 1})


def _other_digest(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.ENRICHED, (0, 7))
    intake.write(Fate.ENRICHED, record | {"digest": "0" * 32})


def _other_reason(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.DEAD, (0, 6))
    intake.write(Fate.DEAD, record | {"reason": "TOO_OLD"})


def _other_bytes(intake: Intake) -> None:
    record, _ = intake.unwrite(Fate.DEAD, (0, 6))
    intake.write(Fate.DEAD, record | {"content": "{}"})


def _beyond_the_end(intake: Intake) -> None:
    intake.write(Fate.LATE, intake.row((0, 900), "d"))


def _no_such_partition(intake: Intake) -> None:
    intake.write(Fate.LATE, intake.row((7, 0), "d"))


def _no_record_of_ours(intake: Intake) -> None:
    intake.write(Fate.LATE, b"hello")


@pytest.mark.parametrize(
    ("spoil", "kind", "place", "cause"),
    [
        (_twice, "DOUBLED", (0, 0), Cause.UNEXPLAINED),
        (_in_two_places, "DOUBLED", (0, 0), Cause.UNEXPLAINED),
        (_elsewhere, "WRONG_PLACE", (0, 3), Cause.UNEXPLAINED),
        (_copy_refused, "WRONG_PLACE", (0, 1), Cause.UNEXPLAINED),
        (_copy_counted, "DOUBLED", (0, 1), Cause.UNEXPLAINED),
        (_other_digest, "WRONG_CONTENT", (0, 7), Cause.UNEXPLAINED),
        (_other_reason, "WRONG_CONTENT", (0, 6), Cause.UNEXPLAINED),
        (_other_bytes, "WRONG_CONTENT", (0, 6), Cause.UNEXPLAINED),
        (_beyond_the_end, "FOREIGN", (0, 900), Cause.EDITED_BY_HAND),
        (_no_such_partition, "FOREIGN", (7, 0), Cause.EDITED_BY_HAND),
        (_no_record_of_ours, "FOREIGN", (0, 2), Cause.EDITED_BY_HAND),
    ],
)
def test_each_fault_is_named(intake: Intake, spoil: Spoil, kind: str, place: Place, cause: Cause) -> None:
    spoil(intake)
    found = judged(intake)
    assert found.told == [(kind, place, 1, cause)]
    assert not found.faults[0].accepted
    assert found.faults[0].held_in


def test_a_copy_after_the_horizon_is_a_duplicate_and_accepted(tmp_path: Path) -> None:
    made = Intake(tmp_path)
    made.take(event("again"), NOW)
    made.take(event("again"), NOW + HORIZON, forget=True)
    made.take(event("again", event_time=NOW + HORIZON), NOW + 2 * HORIZON, forget=True)
    found = judged(made)
    assert found.told == [
        ("COUNTED_AGAIN", (0, 1), 1, Cause.DUPLICATE),
        ("COUNTED_AGAIN", (0, 2), 1, Cause.DUP_CONFLICT),
    ]
    assert [one.accepted for one in found.faults] == [True, False]


def test_after_the_horizon_copies_are_compared_with_the_one_that_counted_last(tmp_path: Path) -> None:
    made = Intake(tmp_path)
    made.take(event("again"), NOW)
    later = event("again", properties={"other": 1})
    made.take(later, NOW + HORIZON, forget=True)
    made.take(later, NOW + HORIZON + 1)
    made.take(event("again"), NOW + HORIZON + 2)
    found = judged(made)
    assert found.told == [("COUNTED_AGAIN", (0, 1), 1, Cause.DUP_CONFLICT)]
    assert found.counts["copy/OK"] == 1
    assert found.counts["dead/OK"] == 1


def test_a_copy_in_another_partition_may_be_the_one_that_counts(tmp_path: Path) -> None:
    for first in (0, 1):
        made = Intake(tmp_path / str(first))
        made.take(event("e"), NOW + first, partition=first)
        made.take(event("e"), NOW + 1 - first, partition=1 - first)
        made.take(event("e", properties={"other": 1}), NOW + 5, partition=1)
        assert judged(made).faults == []


def test_a_run_of_before_a_replay_counts_no_more(intake: Intake) -> None:
    for fate, records in intake.written.items():
        intake.written[fate] = [*records, *((record, at + HORIZON) for record, at in records)]
    intake.scores *= 2
    assert judged(intake, eras=(NOW - 1, NOW + HORIZON)).faults == []
    assert {one.kind.value for one in judged(intake, eras=(NOW - 1,)).faults} == {"DOUBLED", "SCORE_DOUBLED"}


def test_what_the_output_no_longer_keeps_is_not_missing(intake: Intake) -> None:
    intake.take(event("new"), NOW + 5 * MINUTE)
    intake.begins[OUTPUT_TOPICS[Fate.ENRICHED]] = 6
    found = judged(intake)
    assert found.faults == []
    assert found.counts["enriched/PAST"] == 6
    intake.unwrite(Fate.DEAD, (0, 4))
    assert [one.kind.value for one in judged(intake).faults] == ["MISSING"], "the other outputs keep everything"


def test_scores_that_are_missing_doubled_or_other(intake: Intake) -> None:
    intake.take(score("s3"))
    intake.take(score("s4"))
    intake.scores[0] = intake.scores[0].replace(b'"score":4', b'"score":5')
    del intake.scores[2]
    intake.scores.append(intake.scores[-1])
    assert [(one.kind.value, (one.partition, one.first_offset)) for one in judged(intake).faults] == [
        ("SCORE_CONTENT", (0, 7)),
        ("SCORE_DOUBLED", (0, 10)),
        ("SCORE_MISSING", (0, 9)),
    ]
