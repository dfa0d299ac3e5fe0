"""Faults planted where they can really happen: each cause, alone and with another one, is named right.

Three careless jobs run beside the real ones: one whose state expires, one that begins to read too late, and one that
is restored from an old state after Kafka has deleted what it would need. docs/causes.md holds the table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.control.manager import apply_job, resume_job, suspend_job
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.model.values import FaultKind, Sink, Verdict
from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import scores_in
from tests.support.planted import Planted, provision
from tests.support.planting import (
    TOPIC,
    Sender,
    causes_by_player,
    delete_records,
    edit,
    newest_tick,
    parts_of,
    put_back,
    put_record,
    restore_by_hand,
    swallowed_updates,
    told,
    wait_for_totals,
)

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
    archive_topic(settings, scores_in(TOPIC))
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
    matrix.rows["EDITED_BY_HAND"] = "an UPDATE or a DELETE in Postgres, or a foreign record in the board's topic"


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
    matrix.rows["SINK_LAG"] = "a Postgres table that takes writes and keeps none"
    for name in names:
        for cause in before[f"old-{name}"]:
            assert {one for one in after[f"old-{name}"] if set(cause.split(" + ")) < set(one.split(" + "))}, after
            for one in after[f"old-{name}"]:
                assert "SINK_LAG" in one
                matrix.rows.setdefault(one, "both")


@dataclass(frozen=True)
class Hand:
    """What somebody does to a board, and by rank what has to be said of it; nothing else may differ."""

    board: str
    does: Callable[[Settings, list[dict]], None]
    ranks: dict[int | None, str]
    sink: Sink = Sink.POSTGRES


def does(*statements: str) -> Callable[[Settings, list[dict]], None]:
    return lambda settings, _: [edit(settings, one) for one in statements] and None


def puts(key: bytes, value: Callable[[list[dict]], object]) -> Callable[[Settings, list[dict]], None]:
    return lambda settings, rows: put_record(settings, "top-players", key, value(rows))


SWAP = ("SET rnk = 99 WHERE rnk = 2", "SET rnk = 2 WHERE rnk = 3", "SET rnk = 3 WHERE rnk = 99")
EDITED = "EDITED_BY_HAND"
HANDS = {
    "a label": Hand("top_teams", does("UPDATE top_teams SET team_name = 'Edited' WHERE rnk = 3"), {3: EDITED}),
    "a ratio": Hand("team_mvps", does("UPDATE team_mvps SET contrib_ratio = 'NaN' WHERE rnk = 2"), {2: EDITED}),
    "two ranks": Hand("top_teams", does(*(f"UPDATE top_teams {one}" for one in SWAP)), {2: EDITED, 3: EDITED}),
    "an old value": Hand(
        "top_players", lambda settings, _: put_back(settings, load_boards()["top_players"], 3), {3: EDITED}
    ),
    "a row deleted": Hand("top_players", does("DELETE FROM top_players WHERE rnk = 4"), {4: EDITED}),
    "a row inserted": Hand("top_players", does("INSERT INTO top_players VALUES (11, 'x', 'X', 1)"), {11: EDITED}),
    "infinity": Hand("hot_streaks", does("UPDATE hot_streaks SET as_of = 'infinity' WHERE rnk = 1"), {1: EDITED}),
    "before Christ": Hand(
        "hot_streaks", does("UPDATE hot_streaks SET as_of = '0044-03-15 BC' WHERE rnk = 1"), {1: EDITED}
    ),
    "a record under a key spelt otherwise": Hand(
        "top_players", puts(b'{"rnk": 1}', lambda rows: {**rows[0], "total_score": 5}), {1: EDITED}, Sink.KAFKA
    ),
    "a record under no key": Hand("top_players", puts(b"not json", lambda rows: rows[0]), {None: EDITED}, Sink.KAFKA),
    "garbage": Hand("top_players", puts(b'{"rnk":2}', lambda _: b"garbage"), {2: EDITED}, Sink.KAFKA),
    "a fraction": Hand(
        "top_players", puts(b'{"rnk":2}', lambda rows: {**rows[1], "total_score": 0.5}), {2: EDITED}, Sink.KAFKA
    ),
    "a tombstone": Hand("top_players", puts(b'{"rnk":5}', lambda _: None), {5: EDITED}, Sink.KAFKA),
}


@pytest.mark.parametrize("name", HANDS)
def test_what_somebody_does_to_a_sink_is_named_repaired_and_gone(boards, name):
    settings, hand = boards.settings, HANDS[name]
    boards.drain()
    before = {one.row for one in reconcile(settings, "drained", boards=[hand.board]).differences}
    hand.does(settings, boards.rows(hand.board))
    run = reconcile(settings, "drained", boards=[hand.board])
    found = [one for one in run.differences if one.row not in before]
    assert {one.sink for one in found} == {hand.sink}
    assert {one.rank: one.cause for one in found} == hand.ranks
    assert run.rows_compared == run.rows_equal + run.rows_different
    done = apply_repair(settings, run, plan_repair(run))
    assert {outcome for _, outcome in done} == {RepairOutcome.DONE}
    again = reconcile(settings, "drained", boards=[hand.board])
    assert {one.row for one in again.differences} == before
    assert not plan_repair(again).steps


def test_a_postgres_that_keeps_nothing_is_behind_in_every_row_that_moved(boards):
    """A newcomer at the top moves everybody: each row is behind, and repair puts all right once the trigger is gone."""
    settings = boards.settings
    boards.drain()
    sender = Sender(settings)
    beyond = boards.rows("top_players")[0]["total_score"] + 1
    with swallowed_updates(settings, "top_players", "INSERT OR UPDATE OR DELETE"):
        sender.send(0, *(("newcomer-at-the-top", part) for part in parts_of(beyond)))
        run = reconcile(settings, "drained", boards=["top_players"])
        causes = {one.rank: one.cause for one in told(run)}
        assert causes == dict.fromkeys(range(1, 11), "SINK_LAG")
        assert (run.rows_compared, run.rows_equal, run.rows_different) == (20, 10, 10)
        refused = {outcome for _, outcome in apply_repair(settings, run, plan_repair(run))}
        assert refused == {RepairOutcome.NOT_KEPT}
    run = reconcile(settings, "drained", boards=["top_players"])
    apply_repair(settings, run, plan_repair(run))
    run = reconcile(settings, "drained", boards=["top_players"])
    assert run.verdict is Verdict.MATCH, run.reason


CHANGED_TABLES = {
    "a column's type": ("ALTER TABLE top_teams ALTER total_score TYPE text", "is text, not bigint"),
    "the primary key": ("ALTER TABLE top_teams DROP CONSTRAINT pk_top_teams", "the primary key"),
    "a column dropped": ("ALTER TABLE top_teams DROP COLUMN team_name", "is missing"),
    "a view in its place": (
        "ALTER TABLE top_teams RENAME TO kept; CREATE VIEW top_teams AS TABLE kept",
        "is not a table",
    ),
}


@pytest.mark.parametrize("name", CHANGED_TABLES)
def test_a_table_that_somebody_changed_is_not_compared_and_the_advice_works(boards, name):
    settings = boards.settings
    statements, words = CHANGED_TABLES[name]
    boards.drain()
    for statement in statements.split("; "):
        edit(settings, statement)
    run = reconcile(settings, "drained", boards=["top_teams"])
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert words in run.reason
    if "DROP VIEW top_teams" in run.reason:
        edit(settings, "DROP VIEW top_teams")
        edit(settings, "DROP TABLE kept")
    else:
        assert "`gamestream delete table top_teams`" in run.reason
        manager.delete(settings, ResourceKind.TABLE, "top_teams")
    manager.apply(settings, manager.plan(settings, (ResourceKind.TABLE,)))
    run = reconcile(settings, "drained", boards=["top_teams"])
    apply_repair(settings, run, plan_repair(run))
    run = reconcile(settings, "drained", boards=["top_teams"])
    assert run.verdict is Verdict.MATCH, run.reason


def test_events_too_late_for_their_window(boards, matrix):
    """The real job of hot streaks, in both sinks; then a row of it edited by hand as well."""
    settings = boards.settings
    sender = Sender(settings)
    now = int(time.time() * 1000)
    producer = Producer(settings.kafka.options())

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
            producer.produce(TOPIC, orjson.dumps(value), key=player, partition=partition)
        producer.poll(0)

    def play_until(tick: int) -> None:
        """Events of this moment until the board shows that tick: the broker's clock alone moves the watermark."""
        deadline = time.monotonic() + 90
        while newest_tick(settings) < tick:
            assert time.monotonic() < deadline, f"hot_streaks does not come to {tick}"
            at = int(time.time() * 1000)
            send("hot-clock", 1, at)
            for player in range(3):
                send(f"hot-{player}", 10, at)
            assert producer.flush(20) == 0
            time.sleep(0.5)

    for second in range(0, 20, 2):
        for player in range(3):
            send(f"hot-{player}", 10 + player * second % 7, now + second * 1000)
    play_until(now + 15_000)
    send("hot-1", 900, now + 4_000)
    play_until(now + 25_000)
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
