"""Faults planted where they can really happen: each cause, alone and with another one, is named right.

Three careless jobs run beside the real ones: one whose state expires, one that begins to read too late, and one that
is restored from an old state after Kafka has deleted what it would need. docs/causes.md holds the table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.control.manager import apply_job, resume_job, suspend_job
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.model.proof import FaultKind, ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import scores_in
from tests.support.planted import Planted, provision
from tests.support.planting import (
    LATE_ROWS,
    TOPIC,
    Sender,
    causes_by_player,
    delete_records,
    edit,
    parts_of,
    put_back,
    put_record,
    restore_by_hand,
    swallowed_updates,
    told,
    wait_for_totals,
)
from tests.support.world import drain

pytestmark = pytest.mark.leaves_traces  # a topic cut short

TTL_SECONDS = 6
PAGE = Path(__file__).parents[2] / "docs" / "causes.md"

EXPIRING = Planted("planted_expiring", "plant-", ttl_seconds=TTL_SECONDS)
OLD = Planted("planted_old", "old-", ties_descending=True)
IDLE = ("idle", "idle_dup", "idle_neg", "idle_big")
MISFORTUNES = ("alone", "dup", "neg", "big")
COPY = "a record sent twice with one event id, to a job that does not look at ids"
OTHER = "a second record with one event id and another score, to a job that does not look at ids"
NEGATIVE = "a score below zero, to a job that does not validate"
WRAP = "two scores of 1.5 billion, to a job that sums as INT"
EXPIRED = f"no event for longer than the state's time to live ({TTL_SECONDS} s in the test)"
TOO_LATE = "a job that starts behind the first records of a partition"
RESTORED = "a savepoint restored that is older than the newest, after Kafka has deleted the records between them"
TIES = "two players of one total, to a job that breaks ties the other way round"

# By player what is found, and how it was planted; nothing is found for a sound one.
Expected = dict[str, tuple[str, str]]
EXPECTED_OF_EXPIRING: Expected = {
    "plant-sound": ("", ""),
    "plant-mystery": ("UNEXPLAINED", "a total that is one too high for no reason: an alarm"),
    "plant-dup": ("DUPLICATE", COPY),
    "plant-other": ("DUP_CONFLICT", OTHER),
    "plant-dup_other": ("DUPLICATE + DUP_CONFLICT", "both"),
    "plant-neg": ("DEAD_LETTERED", NEGATIVE),
    "plant-big": ("OVERFLOW", WRAP),
    "plant-dup_neg": ("DUPLICATE + DEAD_LETTERED", "both"),
    "plant-dup_big": ("DUPLICATE + OVERFLOW", "both"),
    "plant-neg_big": ("DEAD_LETTERED + OVERFLOW", "both"),
    "plant-idle": ("STATE_EXPIRED", EXPIRED),
    "plant-idle_dup": ("DUPLICATE + STATE_EXPIRED", "both"),
    "plant-idle_neg": ("DEAD_LETTERED + STATE_EXPIRED", "both"),
    "plant-idle_big": ("STATE_EXPIRED + OVERFLOW", "both"),
}
EXPECTED_OF_LOST: Expected = {
    "lost-alone": ("MISSING_EVENTS", TOO_LATE),
    "lost-dup": ("DUPLICATE + MISSING_EVENTS", "both"),
    "lost-neg": ("DEAD_LETTERED + MISSING_EVENTS", "both"),
    "lost-big": ("MISSING_EVENTS + OVERFLOW", "both"),
}
EXPECTED_OF_OLD: Expected = {
    "old-alone": ("RESTORED_FROM_OLD_STATE", RESTORED),
    "old-dup": ("DUPLICATE + RESTORED_FROM_OLD_STATE", "both"),
    "old-neg": ("DEAD_LETTERED + RESTORED_FROM_OLD_STATE", "both"),
    "old-big": ("OVERFLOW + RESTORED_FROM_OLD_STATE", "both"),
    "old-tie1": ("TIE_ORDER", TIES),
    "old-tie2": ("TIE_ORDER", TIES),
}
STALE = {"STALE_ROW": "the old total of a player whose state expired: no retraction is ever sent"}
EDITED_ROW = {"EDITED_BY_HAND": "an UPDATE or a DELETE in Postgres, or a foreign record in the board's topic"}
LAGGING = {"SINK_LAG": "a Postgres table that takes writes and keeps none", "SINK_LAG + TIE_ORDER": "both"}


def causes_of(expected: Expected) -> dict[str, set[str]]:
    return {player: {cause} for player, (cause, _) in expected.items() if cause}


@dataclass(frozen=True)
class CarelessJobs:
    """The careless jobs, running, and what sends events to them."""

    settings: Settings
    sender: Sender
    root: Path
    idle_since: float
    """When the players of `IDLE` had their last event, by `time.monotonic()`."""

    def drained(self, board: str) -> ReconciliationRun:
        return reconcile(self.settings, "drained", boards=[board], root=self.root)


@pytest.fixture(scope="module")
def planted(boards, tmp_path_factory) -> CarelessJobs:
    """Three careless jobs, and players of one of them who play no more."""
    root = tmp_path_factory.mktemp("planted")
    settings = boards.settings
    sender = Sender(settings)
    ends = KafkaAdmin(settings.kafka).end_offsets(TOPIC)
    lost = [("lost-alone", 501), ("lost-dup", 502), ("lost-neg", 503), ("lost-big", 504)]
    sender.send(0, *lost, *((f"lost-filler{n}", 1) for n in range(6)))
    after = KafkaAdmin(settings.kafka).end_offsets(TOPIC)
    assert after[0] == ends[0] + 10
    offsets = ";".join(f"partition:{partition},offset:{0 if partition else after[0]}" for partition in after)
    jobs = (EXPIRING, OLD, Planted("planted_lost", "lost-", start=offsets))
    for job in jobs:
        job.write(root)
    provision(settings, root)
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(lambda job: apply_job(settings, job.job, root=root), jobs))
    sender.send(1, *((f"plant-{name}", 5000 + place) for place, name in enumerate(IDLE)))
    wait_for_totals(settings, "planted_expiring", {f"plant-{name}": 5000 + n for n, name in enumerate(IDLE)})
    return CarelessJobs(settings, sender, root, time.monotonic())


@pytest.fixture(scope="module")
def expiring(planted: CarelessJobs) -> ReconciliationRun:
    """Everything that goes wrong with a job that looks at nothing, and whose state has expired for some."""
    time.sleep(max(0.0, planted.idle_since + TTL_SECONDS + 2 - time.monotonic()))  # what is planted is a time
    misfortunes = [player.removeprefix("plant-") for player in EXPECTED_OF_EXPIRING]
    planted.sender.misfortunes(1, "plant-", *misfortunes)
    return planted.drained("planted_expiring")


@pytest.fixture(scope="module")
def lost(planted: CarelessJobs) -> ReconciliationRun:
    """A job that began to read behind the first events of these players."""
    planted.sender.misfortunes(0, "lost-", *MISFORTUNES)
    return planted.drained("planted_lost")


@pytest.fixture(scope="module")
def old(planted: CarelessJobs) -> tuple[ReconciliationRun, ...]:
    """A job on the newest state, on it again after it stood still, and restored from the one before."""
    settings, sender, root = planted.settings, planted.sender, planted.root
    sender.send(2, *((f"old-{name}", 100 + place) for place, name in enumerate(MISFORTUNES)))
    sender.send(2, ("old-tie1", 77), ("old-tie2", 77))
    first = planted.drained("planted_old")
    before = suspend_job(settings, OLD.job, root=root)
    resume_job(settings, OLD.job, root=root)
    sender.send(2, *((f"old-{name}", 200 + place) for place, name in enumerate(MISFORTUNES)))
    second = planted.drained("planted_old")
    suspend_job(settings, OLD.job, root=root)
    archive_topic(settings, scores_in(TOPIC))
    delete_records(settings, 2, KafkaAdmin(settings.kafka).end_offsets(TOPIC)[2])
    restore_by_hand(settings, root, OLD.job, before.savepoint_path)
    sender.misfortunes(2, "old-", *MISFORTUNES, "sound")
    return first, second, planted.drained("planted_old")


Found = dict[str, set[str]]


@pytest.fixture(scope="module")
def edited(planted: CarelessJobs, expiring, lost, old) -> dict[str, tuple[Found, Found]]:
    """By board the causes before and while every row of it was changed in Postgres."""
    found: dict[str, tuple[Found, Found]] = {}
    for board in ("planted_expiring", "planted_lost", "planted_old"):
        before = causes_by_player(planted.drained(board))
        edit(planted.settings, f"UPDATE {board} SET total_score = total_score + 3")
        run = planted.drained(board)
        edit(planted.settings, f"UPDATE {board} SET total_score = total_score - 3")
        found[board] = before, causes_by_player(run)
    return found


@pytest.fixture(scope="module")
def swallowed(planted: CarelessJobs, old) -> tuple[Found, Found]:
    """The causes before and while Postgres kept no update of a board."""
    players = [*(f"old-{name}" for name in (*MISFORTUNES, "sound", "tie1", "tie2"))]
    before = causes_by_player(planted.drained("planted_old"))
    with swallowed_updates(planted.settings, "planted_old"):
        planted.sender.send(2, *((player, 50_000) for player in players))
        run = planted.drained("planted_old")
    planted.sender.send(2, *((player, 1) for player in players))  # every row is written again
    return before, causes_by_player(run)


def test_copies_refused_scores_wrapped_sums_and_expired_state(expiring: ReconciliationRun):
    assert expiring.verdict is Verdict.DIFFERENT, expiring.reason
    found = causes_by_player(expiring)
    for name in IDLE:  # nobody takes the old total off its rank
        assert "STALE_ROW" in found[f"plant-{name}"]
        found[f"plant-{name}"].discard("STALE_ROW")
    assert found == causes_of(EXPECTED_OF_EXPIRING)
    assert causes_by_player(expiring, Sink.KAFKA) == causes_by_player(expiring)


def test_a_job_that_began_to_read_too_late(planted: CarelessJobs, lost: ReconciliationRun):
    assert lost.only.ledger is not None
    begins = KafkaAdmin(planted.settings.kafka).beginning_offsets(TOPIC)[0]
    # unlike: the refused score counted
    [fault] = [one for one in lost.only.ledger.faults if one.kind is not FaultKind.UNLIKE]
    assert (fault.where, fault.partition, fault.kind.value) == ("planted_lost_v1", 0, "MISSING")
    assert (begins, fault.first_offset) == (0, 0)
    assert fault.sentence in lost.reason
    found = {player: causes for player, causes in causes_by_player(lost).items() if "filler" not in player}
    assert found == causes_of(EXPECTED_OF_LOST)


def test_an_old_savepoint_restored_after_kafka_deleted_what_it_needs(old: tuple[ReconciliationRun, ...]):
    first, second, restored = old
    assert first.verdict is Verdict.EXPLAINED, first.reason  # the ties
    assert second.verdict is Verdict.EXPLAINED, second.reason
    assert restored.verdict is Verdict.DIFFERENT, restored.reason
    assert causes_by_player(restored) == causes_of(EXPECTED_OF_OLD)


def test_rows_edited_by_hand_on_top_of_all_that(edited: dict[str, tuple[Found, Found]]):
    """Each cause together with EDITED_BY_HAND."""
    for board, (before, after) in edited.items():
        on_board = {player for player in after if "filler" not in player}
        for player in after.keys() - on_board:  # not on the board: there is no row to edit
            assert after[player] == {"MISSING_EVENTS"}
        for player in on_board - {"plant-mystery"}:
            for cause in after[player]:
                assert "EDITED_BY_HAND" in cause, (board, player, after[player])
        assert after.get("plant-mystery", {"UNEXPLAINED"}) == {"UNEXPLAINED"}
        for player, causes in before.items():
            for cause in causes - NOT_TOGETHER if "filler" not in player else ():
                assert beyond(cause, after.get(player, set())), (board, player, causes, after)
        if board != "planted_lost":  # nobody there is sound
            assert {"EDITED_BY_HAND"} in after.values()


def test_a_sink_that_swallows_updates_on_top_of_all_that(swallowed: tuple[Found, Found]):
    before, after = swallowed
    assert after["old-sound"] == {"SINK_LAG"}
    assert after["old-tie1"] == {"SINK_LAG + TIE_ORDER"}
    for player in (f"old-{name}" for name in MISFORTUNES):
        for cause in before[player]:
            assert beyond(cause, after[player]), after
        assert all("SINK_LAG" in one for one in after[player])


# What an edited row is not named with besides.
NOT_TOGETHER = {"UNEXPLAINED", "STALE_ROW", "TIE_ORDER"}


def beyond(cause: str, found: set[str]) -> set[str]:
    """The causes that hold this one, and more."""
    return {one for one in found if set(cause.split(" + ")) < set(one.split(" + "))}


def test_the_page_says_what_was_found(edited: dict[str, tuple[Found, Found]], swallowed: tuple[Found, Found]):
    """docs/causes.md holds the matrix; GAMESTREAM_WRITE_DOCS=1 writes it. The other tests assert each row of it."""
    rows = STALE | EDITED_ROW | LAGGING | LATE_ROWS
    for expected in (EXPECTED_OF_EXPIRING, EXPECTED_OF_LOST, EXPECTED_OF_OLD):
        for cause, how in expected.values():
            rows |= {cause: how} if cause and cause not in rows else {}
    for before, after in edited.values():
        for player, causes in before.items():
            for cause in causes - NOT_TOGETHER:
                rows |= dict.fromkeys(beyond(cause, after.get(player, set())) - rows.keys(), "both")
    for player in (f"old-{name}" for name in MISFORTUNES):
        rows |= dict.fromkeys(swallowed[1][player] - rows.keys(), "both")
    singles = [cause for cause in rows if " + " not in cause]
    both = [cause for cause in rows if " + " in cause]
    lines = ["| named | planted |", "|---|---|", *(f"| `{one}` | {rows[one]} |" for one in sorted(singles))]
    lines += ["", "Several at once, on one row, each named with all of them:", ""]
    lines += [f"- `{one}`" for one in sorted(both)]
    table = "\n".join(lines)
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- written by tests/integration/test_planted_faults.py -->\n", "\n<!-- end -->"
    head, _, rest = page.partition(begin)
    if os.environ.get("GAMESTREAM_WRITE_DOCS"):
        PAGE.write_text(head + begin + table + end + rest.partition(end)[2], encoding="utf-8")
        return
    assert rest.partition(end)[0] == table, "run this file with GAMESTREAM_WRITE_DOCS=1 and look at what changed"


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


def pass_and_put_back(settings: Settings, rows: list[dict]) -> None:
    """The third rank shows what it showed before a newcomer moved everybody down; the first was written since."""
    sender = Sender(settings)
    for points in (parts_of(rows[0]["total_score"] + 1), [1]):
        sender.send(0, *(("newcomer-above-all", part) for part in points))
        drain(settings)
    put_back(settings, load_boards()["top_players"], 3)


SWAP = ("SET rnk = 99 WHERE rnk = 2", "SET rnk = 2 WHERE rnk = 3", "SET rnk = 3 WHERE rnk = 99")
EDITED = "EDITED_BY_HAND"
HANDS = {
    "a label": Hand("top_teams", does("UPDATE top_teams SET team_name = 'Edited' WHERE rnk = 3"), {3: EDITED}),
    "a ratio": Hand("team_mvps", does("UPDATE team_mvps SET contrib_ratio = 'NaN' WHERE rnk = 2"), {2: EDITED}),
    "two ranks": Hand("top_teams", does(*(f"UPDATE top_teams {one}" for one in SWAP)), {2: EDITED, 3: EDITED}),
    "an old value": Hand("top_players", pass_and_put_back, {3: EDITED}),
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


# Hands that can be seen apart in one run: no two of a round touch one rank of one sink. What sends events comes first.
FIRST_ROUND = (
    "an old value",
    "a label",
    "a ratio",
    "infinity",
    "a record under a key spelt otherwise",
    "a record under no key",
    "garbage",
)
SECOND_ROUND = ("two ranks", "a row deleted", "a row inserted", "before Christ", "a fraction", "a tombstone")


def test_every_hand_has_its_round():
    assert sorted(FIRST_ROUND + SECOND_ROUND) == sorted(HANDS)


@pytest.mark.parametrize("names", [FIRST_ROUND, SECOND_ROUND], ids=["first", "second"])
def test_what_somebody_does_to_a_sink_is_named_repaired_and_gone(boards, names):
    settings, hands = boards.settings, [HANDS[name] for name in names]
    touched = sorted({hand.board for hand in hands})
    boards.drain()
    before = {one.row for one in reconcile(settings, "drained", boards=touched).differences}
    for hand in hands:
        hand.does(settings, boards.rows(hand.board))
    run = reconcile(settings, "drained", boards=touched)
    found = [one for one in run.differences if one.row not in before]
    done = apply_repair(settings, run, plan_repair(run))
    expected = {(hand.board, hand.sink, rank): cause for hand in hands for rank, cause in hand.ranks.items()}
    assert {(one.board, one.sink, one.rank): one.cause for one in found} == expected
    assert run.rows_compared == run.rows_equal + run.rows_different
    assert {outcome for _, outcome in done} == {RepairOutcome.DONE}
    again = reconcile(settings, "drained", boards=touched)
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
