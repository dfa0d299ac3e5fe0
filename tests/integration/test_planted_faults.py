"""Faults planted where they can really happen: each cause, alone and with another one, is named right.

Three careless jobs run beside the real ones: one whose state expires, one that begins to read too late, and one that
is restored from an old state after Kafka has deleted what it would need. docs/causes.md holds the table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from planted import Planted, provision
from planting import (
    TOPIC,
    Sender,
    causes_by_player,
    delete_records,
    edit,
    restore_by_hand,
    swallowed_updates,
    told,
    wait_for_tick,
    wait_for_totals,
)

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.manager import apply_job, resume_job, suspend_job
from gamestream_dagster.reconciliation.model import FaultKind, Sink, Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings

pytestmark = pytest.mark.leaves_traces  # a topic cut short, records of times to come

TTL_SECONDS = 6
PAGE = Path(__file__).parents[2] / "docs" / "causes.md"

EXPIRING = Planted("planted_expiring", "plant-", ttl_seconds=TTL_SECONDS)
OLD = Planted("planted_old", "old-", ties_descending=True)


@dataclass
class Matrix:
    """What was planted, and what it was called: the rows of docs/causes.md."""

    rows: dict[str, str]

    def check(self, found: dict[str, set[str]], expected: dict[str, tuple[str, str]]) -> None:
        """`expected`: player to (cause, how it was planted)."""
        assert found == {player: {cause} for player, (cause, _) in expected.items() if cause}
        for cause, how in expected.values():
            if cause:
                self.rows.setdefault(cause, how)


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """What the tests of this module found, for the last of them."""
    return Matrix({})


COPY = "a record sent twice with one event id, to a job that does not look at ids"
OTHER = "a second record with one event id and another score, to a job that does not look at ids"
NEGATIVE = "a score below zero, to a job that does not validate"
WRAP = "two scores of 1.5 billion, to a job that sums as INT"


@pytest.fixture(scope="module")
def planted(boards, tmp_path_factory) -> Iterator[tuple[Settings, Sender, Path]]:
    """The careless jobs, deployed one by one as their story goes."""
    root = tmp_path_factory.mktemp("planted")
    settings = boards.settings
    sender = Sender(settings)
    ends = KafkaAdmin(settings.kafka).end_offsets(TOPIC)
    lost = [("lost-alone", 501), ("lost-dup", 502), ("lost-neg", 503), ("lost-big", 504)]
    sender.send(0, *lost, *((f"lost-filler{n}", 1) for n in range(6)))
    after = KafkaAdmin(settings.kafka).end_offsets(TOPIC)
    assert after[0] == ends[0] + 10
    offsets = ";".join(f"partition:{partition},offset:{0 if partition else after[0]}" for partition in after)
    late_starter = Planted("planted_lost", "lost-", start=offsets)
    for job in (EXPIRING, OLD, late_starter):
        job.write(root)
    provision(settings, root)
    yield settings, sender, root
    for job in (EXPIRING, OLD, late_starter):
        suspend_job(settings, job.job, root=root)


def test_copies_refused_scores_wrapped_sums_and_expired_state(planted, matrix):
    settings, sender, root = planted
    idle = ("idle", "idle_dup", "idle_neg", "idle_big")
    apply_job(settings, EXPIRING.job, root=root)
    sender.send(1, *((f"plant-{name}", 5000 + place) for place, name in enumerate(idle)))
    wait_for_totals(settings, "planted_expiring", {f"plant-{name}": 5000 + n for n, name in enumerate(idle)})
    time.sleep(TTL_SECONDS + 2)  # the time to live is what is planted
    sender.misfortunes(
        1,
        "plant-",
        "sound",
        "mystery",
        "dup",
        "other",
        "dup_other",
        "neg",
        "big",
        "dup_neg",
        "dup_big",
        "neg_big",
        *idle,
    )
    run = reconcile(settings, "drained", boards=["planted_expiring"], root=root)
    assert run.verdict is Verdict.DIFFERENT, run.reason
    expired = f"no event for longer than the state's time to live ({TTL_SECONDS} s in the test)"
    found = causes_by_player(run)
    for name in idle:  # nobody takes the old total off its rank
        assert "STALE_ROW" in found[f"plant-{name}"]
        found[f"plant-{name}"].discard("STALE_ROW")
    matrix.rows["STALE_ROW"] = "the old total of a player whose state expired: no retraction is ever sent"
    matrix.check(
        found,
        {
            "plant-sound": ("", ""),
            "plant-mystery": ("UNEXPLAINED", "a total that is one too high for no reason: an alarm"),
            "plant-dup": ("DUPLICATE", COPY),
            "plant-other": ("DUP_CONFLICT", OTHER),
            "plant-dup_other": ("DUPLICATE + DUP_CONFLICT", "both"),
            "plant-neg": ("DEAD_LETTERED", NEGATIVE),
            "plant-big": ("OVERFLOW", WRAP),
            "plant-idle": ("STATE_EXPIRED", expired),
            "plant-dup_neg": ("DUPLICATE + DEAD_LETTERED", "both"),
            "plant-dup_big": ("DUPLICATE + OVERFLOW", "both"),
            "plant-neg_big": ("DEAD_LETTERED + OVERFLOW", "both"),
            "plant-idle_dup": ("DUPLICATE + STATE_EXPIRED", "both"),
            "plant-idle_neg": ("DEAD_LETTERED + STATE_EXPIRED", "both"),
            "plant-idle_big": ("STATE_EXPIRED + OVERFLOW", "both"),
        },
    )
    by_kafka = causes_by_player(run, Sink.KAFKA)
    assert by_kafka == causes_by_player(run)


def test_a_job_that_began_to_read_too_late(planted, matrix):
    settings, sender, root = planted
    apply_job(settings, "planted_lost_v1", root=root)
    sender.misfortunes(0, "lost-", "alone", "dup", "neg", "big")
    run = reconcile(settings, "drained", boards=["planted_lost"], root=root)
    assert run.ledger is not None
    begins = KafkaAdmin(settings.kafka).beginning_offsets(TOPIC)[0]
    [lost] = [one for one in run.ledger.faults if one.kind is not FaultKind.UNLIKE]  # unlike: the refused score counted
    assert (lost.where, lost.partition, lost.kind.value) == ("planted_lost_v1", 0, "MISSING")
    assert (begins, lost.first_offset) == (0, 0)
    assert lost.sentence in run.reason
    how = "a job that starts behind the first records of a partition"
    matrix.check(
        {player: causes for player, causes in causes_by_player(run).items() if "filler" not in player},
        {
            "lost-alone": ("MISSING_EVENTS", how),
            "lost-dup": ("DUPLICATE + MISSING_EVENTS", "both"),
            "lost-neg": ("DEAD_LETTERED + MISSING_EVENTS", "both"),
            "lost-big": ("MISSING_EVENTS + OVERFLOW", "both"),
        },
    )


def test_an_old_savepoint_restored_after_kafka_deleted_what_it_needs(planted, matrix):
    settings, sender, root = planted
    names = ("alone", "dup", "neg", "big")
    apply_job(settings, OLD.job, root=root)
    sender.send(2, *((f"old-{name}", 100 + place) for place, name in enumerate(names)))
    sender.send(2, ("old-tie1", 77), ("old-tie2", 77))
    assert reconcile(settings, "drained", boards=["planted_old"], root=root).verdict is Verdict.EXPLAINED  # the ties
    old = suspend_job(settings, OLD.job, root=root)
    resume_job(settings, OLD.job, root=root)
    sender.send(2, *((f"old-{name}", 200 + place) for place, name in enumerate(names)))
    run = reconcile(settings, "drained", boards=["planted_old"], root=root)
    assert run.verdict is Verdict.EXPLAINED, run.reason
    suspend_job(settings, OLD.job, root=root)
    archive_topic(settings, TOPIC)
    end = KafkaAdmin(settings.kafka).end_offsets(TOPIC)[2]
    delete_records(settings, 2, end)
    restore_by_hand(settings, root, OLD.job, old.savepoint_path)
    sender.misfortunes(2, "old-", *names, "sound")
    run = reconcile(settings, "drained", boards=["planted_old"], root=root)
    assert run.verdict is Verdict.DIFFERENT, run.reason
    how = "a savepoint restored that is older than the newest, after Kafka has deleted the records between them"
    ties = "two players of one total, to a job that breaks ties the other way round"
    matrix.check(
        causes_by_player(run),
        {
            "old-alone": ("RESTORED_FROM_OLD_STATE", how),
            "old-dup": ("DUPLICATE + RESTORED_FROM_OLD_STATE", "both"),
            "old-neg": ("DEAD_LETTERED + RESTORED_FROM_OLD_STATE", "both"),
            "old-big": ("OVERFLOW + RESTORED_FROM_OLD_STATE", "both"),
            "old-tie1": ("TIE_ORDER", ties),
            "old-tie2": ("TIE_ORDER", ties),
        },
    )


def test_rows_edited_by_hand_on_top_of_all_that(planted, matrix):
    """The same boards, every row of them changed in Postgres: each cause together with EDITED_BY_HAND."""
    settings, _, root = planted
    for board in ("planted_expiring", "planted_lost", "planted_old"):
        before = causes_by_player(reconcile(settings, "drained", boards=[board], root=root))
        edit(settings, f"UPDATE {board} SET total_score = total_score + 3")
        run = reconcile(settings, "drained", boards=[board], root=root)
        edit(settings, f"UPDATE {board} SET total_score = total_score - 3")
        after = causes_by_player(run)
        assert after.pop("plant-mystery", {"UNEXPLAINED"}) == {"UNEXPLAINED"}
        for player in [one for one in after if "filler" in one]:  # they are not on the board: there is no row to edit
            assert after.pop(player) == {"MISSING_EVENTS"}
            del before[player]
        for player, causes in after.items():
            for cause in causes:
                assert "EDITED_BY_HAND" in cause, (board, player, causes)
        for player, causes in before.items():
            for cause in causes - {"UNEXPLAINED", "STALE_ROW", "TIE_ORDER"}:
                named = {one for one in after[player] if set(cause.split(" + ")) < set(one.split(" + "))}
                assert named, (board, player, causes, after[player])
                for one in named:
                    matrix.rows.setdefault(one, "both")
        if board != "planted_lost":  # nobody there is sound
            assert any(causes == {"EDITED_BY_HAND"} for causes in after.values())
    matrix.rows["EDITED_BY_HAND"] = "an UPDATE in Postgres, or a foreign record in the board's topic"


def test_a_sink_that_swallows_updates_on_top_of_all_that(planted, matrix):
    settings, sender, root = planted
    names = ("alone", "dup", "neg", "big")
    before = causes_by_player(reconcile(settings, "drained", boards=["planted_old"], root=root))
    with swallowed_updates(settings, "planted_old"):
        sender.send(2, *((f"old-{name}", 50_000) for name in (*names, "sound", "tie1", "tie2")))
        run = reconcile(settings, "drained", boards=["planted_old"], root=root)
    after = causes_by_player(run)
    assert after["old-sound"] == {"SINK_LAG"}
    assert after["old-tie1"] == {"SINK_LAG + TIE_ORDER"}
    matrix.rows["SINK_LAG + TIE_ORDER"] = "both"
    matrix.rows["SINK_LAG"] = "a Postgres table that takes updates and keeps none"
    for name in names:
        for cause in before[f"old-{name}"]:
            assert {one for one in after[f"old-{name}"] if set(cause.split(" + ")) < set(one.split(" + "))}, after
            for one in after[f"old-{name}"]:
                assert "SINK_LAG" in one
                matrix.rows.setdefault(one, "both")


def test_events_too_late_for_their_window(boards, matrix):
    """The real job of hot streaks, in both sinks; then a row of it edited by hand as well."""
    settings = boards.settings
    sender = Sender(settings)
    now = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": settings.kafka})

    def send(player: str, score: int, at: int) -> None:
        value = {
            "user_id": player,
            "team_id": "hot",
            "team_name": "Hot",
            "score": score,
            "event_time_millis": at,
            "event_id": f"{player}-{at}-{score}",
        }
        for partition in range(4) if player == "hot-clock" else [3]:
            producer.produce(TOPIC, orjson.dumps(value), key=player, partition=partition, timestamp=max(at, now))
        producer.poll(0)

    for second in range(0, 62, 2):
        for player in range(3):
            send(f"hot-{player}", 10 + player * second % 7, now + second * 1000)
        send("hot-clock", 1, now + second * 1000)
    assert producer.flush(20) == 0
    wait_for_tick(settings, now + 50_000)
    send("hot-1", 900, now + 21_000)
    assert producer.flush(20) == 0
    for second in range(62, 76, 2):
        send("hot-clock", 1, now + second * 1000)
        for player in range(3):
            send(f"hot-{player}", 10, now + second * 1000)
    assert producer.flush(20) == 0
    boards.drain()
    run = reconcile(settings, "drained", boards=["hot_streaks"])
    assert run.verdict is Verdict.EXPLAINED, run.reason
    found = causes_by_player(run)
    assert found["hot-1"] == {"LATE"}
    assert set().union(*found.values()) == {"LATE"}
    assert causes_by_player(run, Sink.KAFKA) == found
    carried = next(one for one in told(run) if one.entity == ("hot-1",)).evidence["events"]
    assert [one["score"] for one in carried] == [900]
    matrix.rows["LATE"] = "an event far behind the watermark, to the real job of hot streaks"
    edit(settings, "UPDATE hot_streaks SET long_term_sum = long_term_sum + 1 WHERE user_id = 'hot-1'")
    edited = causes_by_player(reconcile(settings, "drained", boards=["hot_streaks"]))
    edit(settings, "UPDATE hot_streaks SET long_term_sum = long_term_sum - 1 WHERE user_id = 'hot-1'")
    assert "LATE + EDITED_BY_HAND" in edited["hot-1"]
    matrix.rows["LATE + EDITED_BY_HAND"] = "both"
    assert sender.number == 0


def test_the_page_says_what_was_found(matrix):
    """docs/causes.md holds the matrix; GAMESTREAM_WRITE_DOCS=1 writes it."""
    singles = [cause for cause in matrix.rows if " + " not in cause]
    both = [cause for cause in matrix.rows if " + " in cause]
    lines = ["| named | planted |", "|---|---|", *(f"| `{one}` | {matrix.rows[one]} |" for one in sorted(singles))]
    lines += [
        "",
        "Several at once, on one row, each named with all of them:",
        "",
        *(f"- `{one}`" for one in sorted(both)),
    ]
    table = "\n".join(lines)
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- written by tests/integration/test_planted_faults.py -->\n", "\n<!-- end -->"
    head, _, rest = page.partition(begin)
    if os.environ.get("GAMESTREAM_WRITE_DOCS"):
        PAGE.write_text(head + begin + table + end + rest.partition(end)[2], encoding="utf-8")
        return
    assert rest.partition(end)[0] == table, "run this file with GAMESTREAM_WRITE_DOCS=1 and look at what changed"
