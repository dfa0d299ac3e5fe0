"""Replays on a broker in memory: twice is once, killed or raced; three attempts; nothing counted twice."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters import transaction
from gamestream_dagster.dead_letters.book import MAX_ATTEMPTS
from gamestream_dagster.dead_letters.errors import DeadLetterError, ReplayAbortedError, ReplayUnknownError
from gamestream_dagster.dead_letters.fixes import FixFile, read_fixes
from gamestream_dagster.dead_letters.planning import Fate
from gamestream_dagster.dead_letters.reading import BOOK_TOPIC, DLQ_TOPIC
from gamestream_dagster.dead_letters.replaying import Replay, ReplayPlan
from gamestream_dagster.dead_letters.selection import Selection
from gamestream_dagster.events.game_judge import GameEventJudge
from tests.support.fakes.dead_letter_broker import COMMITTED, ENRICHED, LATE, RAW, Broker, Intake
from tests.support.game_event_cases import NOW

HOUR = 3_600_000
CAST = read_fixes(
    "fixes: [{when: {reason: WRONG_TYPE}, do: [{cast: {field: properties.score, to: integer}}]}]", "fixes.yaml"
)


def score(event_id: str, points: Any = "7", **more: Any) -> dict[str, Any]:
    event = {"event_id": event_id, "user_id": "u1", "event_type": "score", "event_time": NOW}
    return event | {"properties": {"team_id": "t1", "team_name": "Reds", "score": points}} | more


@pytest.fixture
def broker() -> Broker:
    return Broker(NOW)


@pytest.fixture
def intake(broker: Broker) -> Intake:
    return Intake(broker)


def send(broker: Broker, *events: dict[str, Any]) -> None:
    for event in events:
        broker.append(RAW, orjson.dumps(event))


def replay(broker: Broker, fixes: FixFile | None = CAST, limit: int = 100, **more: Any) -> Replay:
    selection = more.pop("selection", Selection())
    return Replay(broker.reader(), selection, fixes, GameEventJudge(), lambda: broker.now, limit, **more)


def run(broker: Broker, fixes: FixFile | None = CAST, **more: Any) -> ReplayPlan:
    with broker.replayer() as sender:
        return replay(broker, fixes, **more).carry_out(sender)[0]


def fates(plan: ReplayPlan) -> dict[str, int]:
    return {fate.value: count for fate, count in plan.counts.items()}


def test_a_fixed_letter_is_counted_and_says_where_it_comes_from(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"), score("e2", 5))
    intake.run()
    assert [one["event_id"] for one in broker.values(ENRICHED)] == ["e2"]
    plan = run(broker)
    assert fates(plan) == {"enriched": 1}
    intake.run()
    assert [one["event_id"] for one in broker.values(ENRICHED)] == ["e2", "e1"]
    slot = broker.topics[RAW][2]
    assert slot.headers == {"gamestream-attempt": b"1", "gamestream-replay-of": b"p0@0"}
    assert slot.key == b"u1"
    assert orjson.loads(slot.value or b"")["properties"]["score"] == 7
    assert orjson.loads(slot.value or b"")["event_time"] == NOW


def test_a_dry_run_sends_nothing(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    before = {name: len(slots) for name, slots in broker.topics.items()}
    plan = replay(broker).plan()
    assert plan.sent[0].move is not None
    assert (plan.sent[0].move.user_id, plan.sent[0].move.team_id, plan.sent[0].move.points) == ("u1", "t1", 7)
    assert {name: len(slots) for name, slots in broker.topics.items()} == before


def test_twice_is_once(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"), score("e2"))
    intake.run()
    assert fates(run(broker)) == {"enriched": 2}
    intake.run()
    assert fates(run(broker)) == {"replayed": 2}
    intake.run()
    assert fates(run(broker)) == {"replayed": 2}
    assert sorted(one["event_id"] for one in broker.values(ENRICHED)) == ["e1", "e2"]
    assert len(broker.values(BOOK_TOPIC)) == 2


def test_a_letter_that_the_job_wrote_twice_is_replayed_once(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.append(DLQ_TOPIC, broker.topics[DLQ_TOPIC][0].value)  # the job read its topic again
    plan = run(broker)
    assert fates(plan) == {"enriched": 1, "replayed": 1}
    assert plan.stay == 0
    assert fates(run(broker)) == {"replayed": 2}


def test_a_replay_that_dies_before_its_commit_has_done_nothing(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.die_before_commit = True
    with pytest.raises(KeyboardInterrupt), broker.replayer() as sender:
        replay(broker).carry_out(sender)
    intake.run()
    assert broker.values(BOOK_TOPIC) == broker.values(ENRICHED) == []
    broker.die_before_commit = False
    assert fates(run(broker)) == {"enriched": 1}
    intake.run()
    assert len(broker.values(ENRICHED)) == 1


@pytest.mark.parametrize("lost", [1, 9])
def test_an_unconfirmed_commit_is_found_out_by_the_next_run(broker: Broker, intake: Intake, lost: int) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.lose_commits = lost
    if lost > 5:
        with pytest.raises(ReplayUnknownError, match="run it again"):
            run(broker)
    else:
        run(broker)
    broker.lose_commits = 0
    assert fates(run(broker)) == {"replayed": 1}
    intake.run()
    assert len(broker.values(ENRICHED)) == 1


def test_two_replays_at_once_do_what_one_does(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    with broker.replayer() as slow:
        plan = replay(broker).plan()
        assert fates(run(broker)) == {"enriched": 1}  # takes over and commits
        with pytest.raises(ReplayAbortedError, match="another replay took over"):
            slow.replay(plan.sent, broker.now)
    intake.run()
    assert len(broker.values(ENRICHED)) == 1
    assert len(broker.values(BOOK_TOPIC)) == 1


def test_after_three_attempts_it_gives_up(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1", 1))
    intake.refuse = True
    intake.run()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        plan = run(broker, None)
        assert plan.counts[Fate.ENRICHED] == 1
        assert plan.sent[0].attempt == attempt
        intake.run()
    for _ in range(2):
        plan = run(broker, None)
        assert fates(plan) == {"replayed": MAX_ATTEMPTS, "gave_up": 1}
        assert plan.stay == 1
        intake.run()
    assert len(broker.values(DLQ_TOPIC)) == MAX_ATTEMPTS + 1
    attempts = [slot.headers["gamestream-attempt"] for slot in broker.topics[RAW] if slot.headers]
    assert attempts == [b"1", b"2", b"3"]


def test_letters_that_stay_dead_do_not_use_up_the_limit(broker: Broker, intake: Intake) -> None:
    send(broker, *(score(f"bad{number}", "x") for number in range(5)), *(score(f"e{number}") for number in range(5)))
    intake.run()
    sent = []
    for _ in range(3):
        plan = run(broker, limit=2)
        sent += [one.letter.event_id for one in plan.sent]
        assert plan.more == (len(sent) < 5)
        assert len(plan.others) <= 2
    assert sent == [f"e{number}" for number in range(5)]


def test_an_event_that_the_game_sent_again_itself_is_not_counted_twice(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.now += HOUR
    send(broker, score("e1", 7), score("e1", 9))
    intake.run()
    plan = run(broker)
    assert {one.letter.event_id: one.fate for one in plan.others} == {"e1": Fate.ID_TAKEN}
    assert plan.sent == []


def test_two_letters_with_one_id_are_replayed_once(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"), score("e1", "8"))
    intake.run()
    assert fates(run(broker)) == {"enriched": 1, "id_taken": 1}
    assert fates(run(broker)) == {"replayed": 1, "id_taken": 1}


def test_a_conflict_needs_an_id_of_its_own(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1", 1), score("e1", 2))
    intake.run()
    assert fates(run(broker, None)) == {"id_taken": 1}
    own = read_fixes(
        """
        fixes:
          - when: {reason: DUP_CONFLICT}
            do:
              - set: {field: event_id, expression: 'concat(event_id, "-", source.partition, "-", source.offset)'}
        """,
        "fixes.yaml",
    )
    assert fates(run(broker, own)) == {"enriched": 1}
    intake.run()
    assert [one["event_id"] for one in broker.values(ENRICHED)] == ["e1", "e1-0-1"]


def test_a_letter_of_yesterday_is_late_and_one_of_last_month_too_old(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.now += 24 * HOUR
    plan = replay(broker).plan()
    assert fates(plan) == {"late": 1}
    assert plan.sent[0].move is None
    assert "no board counts it" in plan.sent[0].said
    run(broker)
    intake.run()
    assert [one["event_id"] for one in broker.values(LATE)] == ["e1"]
    send(broker, score("e2", event_time=broker.now))
    intake.run()
    broker.now += 31 * 24 * HOUR
    plan = replay(broker).plan()
    assert fates(plan) == {"replayed": 1, "refused": 1}
    assert "TOO_OLD" in plan.others[0].said


def test_an_event_of_the_future_is_replayed_as_it_is_once_its_time_has_come(broker: Broker, intake: Intake) -> None:
    value = orjson.dumps(score("e1", 1, event_time=NOW + 2 * HOUR)) + b" "
    broker.append(RAW, value)
    intake.run()
    assert fates(run(broker, None)) == {"refused": 1}
    broker.now += 2 * HOUR
    assert fates(run(broker, None)) == {"enriched": 1}
    assert broker.topics[RAW][-2].value == value  # the exact bytes; a marker follows


def test_an_erased_player_is_never_replayed(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"), score("e2", user_id="u2"))
    intake.run()
    plan = run(broker, is_suppressed=lambda player: player == "u1")
    assert fates(plan) == {"enriched": 1, "suppressed": 1}
    assert [one.letter.event_id for one in plan.sent] == ["e2"]


def test_a_book_that_cannot_be_read_stops_replays(broker: Broker, intake: Intake) -> None:
    send(broker, score("e1"))
    intake.run()
    broker.append(BOOK_TOPIC, b"{}", b"x")
    with pytest.raises(DeadLetterError, match="no entry of a replay"):
        run(broker)
    del broker.topics[BOOK_TOPIC]
    with pytest.raises(DeadLetterError, match="gamestream apply"):
        run(broker)
    assert [slot.state for slot in broker.topics[RAW]] == [COMMITTED]


def test_a_letter_without_an_id_still_knows_its_attempt(broker: Broker, intake: Intake) -> None:
    """The job may not have read the id of a record that it refused."""
    send(broker, score("e1", 1))
    intake.refuse = True
    for _ in range(5):
        intake.run()
        letter = broker.topics[DLQ_TOPIC][-1]
        letter.value = orjson.dumps({**orjson.loads(letter.value or b""), "event_id": None})
        run(broker, None)
    intake.run()
    assert len([slot for slot in broker.topics[RAW] if slot.headers]) == MAX_ATTEMPTS


def test_the_real_client_takes_the_options_and_says_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "_INIT_SECONDS", 0.2)
    with (
        pytest.raises(DeadLetterError, match="does not let replays begin"),
        transaction.Replayer(KafkaConnection("127.0.0.1:1")),
    ):
        pytest.fail("entered")


@pytest.mark.parametrize("version", [None, "ipfire-2026-06-25"])
def test_a_replay_keeps_the_version_of_the_table_that_found_the_country(
    broker: Broker, intake: Intake, version: str | None
) -> None:
    send(broker, score("e1"))
    intake.run()
    [slot] = broker.topics[DLQ_TOPIC]
    slot.value = orjson.dumps({**orjson.loads(slot.value or b""), **({"geo_version": version} if version else {})})
    run(broker)
    headers = broker.topics[RAW][1].headers
    assert headers.get("gamestream-geo-version") == (version.encode() if version else None)
