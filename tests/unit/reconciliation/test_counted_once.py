"""What counts once: copies by id, how late an event came, and what a recompute supposes besides."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual
from gamestream_dagster.reconciliation.recompute.history import history_between
from tests.support.archive_maker import archive_records, open_folder

NOW = 1_700_000_000_000
PLAYERS = load_boards()["top_players"]
untimed = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Sent:
    """One record in the order of arrival."""

    partition: int
    offset: int
    user_id: str = "u"
    score: object = 1
    event_id: str | None = None
    event_time: int = NOW
    kafka_time: int = NOW

    @property
    def value(self) -> bytes:
        fields = {
            "user_id": self.user_id,
            "team_id": "t",
            "team_name": "T",
            "score": self.score,
            "event_time_millis": self.event_time,
        }
        return orjson.dumps(fields | ({} if self.event_id is None else {"event_id": self.event_id}))

    @property
    def accepted(self) -> bool:
        return isinstance(self.score, int) and self.score >= 0 and self.event_time <= self.kafka_time + 3_600_000


def archived(folder: Path, sent: Sequence[Sent]) -> Path:
    return archive_records(
        folder / "user-score", {(one.partition, one.offset): (one.value, one.kafka_time) for one in sent}
    )


def records(archive: ArchiveDatabase) -> dict[tuple[int, int], dict]:
    sql = 'SELECT "partition", "offset", reason, user_id, score, copy, since_previous, late_by FROM records'
    return {(row["partition"], row["offset"]): row for row in archive.query(archive.at({}), sql)}


@st.composite
def arrivals(draw) -> list[Sent]:
    """Records of a few players and ids; a player keeps to a partition, mostly."""
    sent: list[Sent] = []
    offsets = [0, 0, 0]
    clock = NOW
    for _ in range(draw(st.integers(1, 40))):
        user = draw(st.integers(0, 3))
        partition = draw(st.sampled_from([user % 3, user % 3, user % 3, 2]))
        clock += draw(st.sampled_from([0, 1, 700, 9_000]))
        offsets[partition] += draw(st.sampled_from([1, 1, 2]))
        sent.append(
            Sent(
                partition,
                offsets[partition],
                user_id=f"u{user}",
                score=draw(st.sampled_from([0, 1, 5, 7, -1, "x"])),
                event_id=draw(st.sampled_from([None, "a", "b", "c"])),
                event_time=clock - draw(st.sampled_from([0, 1, 5_000, 5_001, 60_000, -3_000, -3_600_001])),
                kafka_time=clock - draw(st.sampled_from([0, 0, 0, 2_000])),
            )
        )
    return sent


def model_copies(sent: Sequence[Sent]) -> set[tuple[int, int]]:
    """By the definition, one id at a time."""
    copies: set[tuple[int, int]] = set()
    for key in {(one.user_id, one.event_id) for one in sent if one.accepted and one.event_id is not None}:
        same = [one for one in sent if one.accepted and (one.user_id, one.event_id) == key]
        heads = [
            min((one for one in same if one.partition == p), key=lambda one: one.offset)
            for p in {one.partition for one in same}
        ]
        first = min(heads, key=lambda one: (one.kafka_time, one.partition, one.offset))
        copies |= {(one.partition, one.offset) for one in same if one is not first}
    return copies


def model_newest(sent: Sequence[Sent], one: Sent) -> int | None:
    before = [other for other in sent if other.partition == one.partition and other.offset < one.offset]
    moved = [
        min(other.event_time, other.kafka_time) for other in before if other.event_time <= other.kafka_time + 3_600_000
    ]
    return max(moved, default=None)


@untimed
@given(sent=arrivals(), data=st.data())
def test_copies_lateness_and_totals_are_those_of_the_definition(sent, data):
    copies = model_copies(sent)
    cut = {p: data.draw(st.integers(0, 60), label=f"p{p}") for p in range(3)}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_folder(archived(Path(folder), sent), Path(folder)) as archive,
    ):
        found = records(archive)
        rows = board_rows(archive, archive.at(cut), PLAYERS)
    assert {place for place, row in found.items() if row["copy"]} == copies
    for one in sent:
        row = found[one.partition, one.offset]
        newest = model_newest(sent, one)
        assert row["late_by"] == (None if newest is None else newest - one.event_time)
        assert (row["since_previous"] is None) == (not row["copy"])
        assert (row["reason"] is None) == one.accepted
    totals: dict[str, int] = {}
    for one in sent:
        if one.accepted and (one.partition, one.offset) not in copies and one.offset < cut[one.partition]:
            totals[one.user_id] = totals.get(one.user_id, 0) + int(str(one.score))
    assert {row["user_id"]: row["total_score"] for row in rows} == totals


def test_the_time_since_the_previous_copy(tmp_path):
    times = [NOW, NOW + 10_000, NOW + 800_000]
    sent = [Sent(0, n, event_id="a", kafka_time=at) for n, at in enumerate(times)]
    with open_folder(archived(tmp_path, sent), tmp_path) as archive:
        assert [row["since_previous"] for _, row in sorted(records(archive).items())] == [None, 10_000, 790_000]


def test_one_id_of_two_players_is_two_events(tmp_path):
    sent = [Sent(0, 0, "u", event_id="a"), Sent(0, 1, "v", event_id="a")]
    with open_folder(archived(tmp_path, sent), tmp_path) as archive:
        assert not any(row["copy"] for row in records(archive).values())


def test_a_topic_without_ids_counts_every_record(tmp_path):
    sent = [Sent(0, n, event_id="a") for n in range(3)]
    with open_folder(archived(tmp_path, sent), tmp_path, event_ids=False) as archive:
        assert board_rows(archive, archive.at({0: 9}), PLAYERS)[0]["total_score"] == 3


@pytest.mark.parametrize(
    ("removed", "added", "total"),
    [
        ([], [], 101),
        ([(0, 0, 0)], [], 100),
        ([], [(0, 1, 0)], 102),  # a copy
        ([], [(0, 2, 0)], 91),  # refused: below 0
        ([], [(0, 3, 0)], 101),  # refused: a score that is no number cannot be counted
        ([], [(0, 4, 0)], 201),  # counted twice
        ([], [(0, 4, 0), (0, 4, 0)], 301),  # three times
        ([(0, 4, 0)], [(0, 1, 0)], 2),
        ([], [(0, 5, 0)], 101),  # not before the cut
    ],
)
def test_what_is_supposed_counts_and_only_meanwhile(tmp_path, removed, added, total):
    sent = [
        Sent(0, 0, event_id="a"),
        Sent(0, 1, event_id="a"),
        Sent(0, 2, score=-10),
        Sent(0, 3, score="x"),
        Sent(0, 4, score=100),
        Sent(0, 5, score=1000),
    ]
    with open_folder(archived(tmp_path, sent), tmp_path) as archive:
        at = archive.at({0: 5}, {0: 1})
        supposed = replace(at, hypothesis=Counterfactual(tuple(removed), tuple(added)))
        assert board_rows(archive, supposed, PLAYERS)[0]["total_score"] == total
        history = history_between(archive, supposed, [PLAYERS])
        assert history.sums(("user_id",), [("u",)])[("u",)].high == total
        assert board_rows(archive, at, PLAYERS)[0]["total_score"] == 101


def test_the_cut_of_an_earlier_question_does_not_matter(tmp_path):
    sent = [Sent(0, n, event_id="a") for n in range(3)] + [Sent(0, 3)]
    with open_folder(archived(tmp_path, sent), tmp_path) as archive:
        assert [board_rows(archive, archive.at({0: n}), PLAYERS)[0]["total_score"] for n in (1, 4, 2)] == [1, 2, 1]
