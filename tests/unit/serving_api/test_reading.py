"""How a board is read: between two cuts that hold, again where it contradicts itself; and what is unknown is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.serving_api import cuts, reading
from gamestream_dagster.serving_api.cuts import Bracket, Cuts, JobState
from gamestream_dagster.serving_api.reading import BoardReader
from gamestream_dagster.settings import Season
from tests.support.fakes.serving import BOARDS, players

TOPIC = "user-score"
JOB = "leaderboards_v1"


@dataclass
class Kafka:
    commits: dict[int, int] = field(default_factory=lambda: {0: 10, 1: 20})
    ends: dict[int, int] = field(default_factory=lambda: {0: 12, 1: 20})
    topic: str = "one"
    away: bool = False
    asked: int = 0

    def committed(self, group: str, topic: str) -> dict[int, int]:
        assert (group, topic) == (f"gamestream-{JOB}", TOPIC)
        return dict(self.commits)

    def end_offsets(self, topic: str) -> dict[int, int]:
        self._ask()
        return dict(self.ends)

    def topic_id(self, topic: str) -> TopicId | None:
        self._ask()
        return TopicId(self.topic)

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise TransientServiceError("Kafka", "no answer within 1 s", "see `gamestream status`")


@dataclass
class Records:
    deployed: JobState = field(default_factory=lambda: JobState("job-1", TopicId("one")))
    told: dict[int, int] = field(default_factory=dict)

    def state(self, job: str, topic: str) -> JobState:
        return self.deployed

    def read(self, job: str, topic: str) -> dict[int, int]:
        return self.told


def bracket(kafka: Kafka, records: Records | None = None, made: Cuts | None = None) -> Bracket:
    made = made or Cuts(kafka, records or Records())
    before, state = made.before(JOB, TOPIC)
    return made.after(JOB, before, state)


def test_the_bracket_is_from_the_commits_to_the_end() -> None:
    assert bracket(Kafka()) == Bracket(TOPIC, TopicId("one"), {0: 10, 1: 20}, {0: 12, 1: 20})


def test_commits_of_another_hand_go_no_further_than_the_job() -> None:
    assert bracket(Kafka(), Records(told={0: 7})).low == {0: 7, 1: 20}
    assert bracket(Kafka(), Records(told={0: 70})).low == {0: 10, 1: 20}


def test_what_is_unknown_says_why() -> None:
    assert "has not completed a checkpoint" in bracket(Kafka(commits={})).reason
    assert "was deleted and created again" in bracket(Kafka(topic="two")).reason
    assert "lie behind the end" in bracket(Kafka(ends={0: 9, 1: 20})).reason
    assert "lie behind the end" in bracket(Kafka(ends={0: 12})).reason
    for kafka in (Kafka(commits={}), Kafka(topic="two"), Kafka(ends={0: 9}), Kafka(away=True)):
        found = bracket(kafka)
        assert found.low is found.high is None
    # a job that was deployed before ids were recorded
    assert bracket(Kafka(), Records(JobState("job-1", None))).low


def test_a_job_that_is_deployed_anew_meanwhile_makes_the_bracket_unknown() -> None:
    records = Records()
    made = Cuts(Kafka(), records)
    before, state = made.before(JOB, TOPIC)
    records.deployed = JobState("job-2", TopicId("one"))
    assert "deployed anew" in made.after(JOB, before, state).reason


def test_kafka_that_is_away_is_left_alone_for_a_while() -> None:
    now = [0.0]
    kafka = Kafka(away=True)
    made = Cuts(kafka, Records(), lambda: now[0])
    for _ in range(5):
        assert "no answer within 1 s" in bracket(kafka, made=made).reason
    assert kafka.asked == 1
    kafka.away = False
    now[0] += cuts.PAUSE_SECONDS
    assert bracket(kafka, made=made).low


def test_a_board_that_is_caught_between_two_writes_is_read_again(monkeypatch) -> None:
    torn, whole = (*players(3), {**players(3)[0], "rnk": 2}), players(3, 2)
    reads = [torn, torn, whole, torn]
    pauses: list[float] = []
    reader = BoardReader(None, Cuts(Kafka(), Records()), {"top_players": TOPIC}, Season.NONE, pauses.append)
    monkeypatch.setattr(BoardReader, "_snapshot", lambda self: _Nothing())
    monkeypatch.setattr(BoardReader, "_look", lambda self, *_: reading._Read(reads.pop(0), None, None, None, {}))
    view = reader.read(BOARDS["top_players"])
    assert (view.rows, view.faults, len(pauses)) == (whole, (), 2)
    reads[:] = [torn] * 9
    view = reader.read(BOARDS["top_players"])
    assert view.faults == ("p1 stands on it 2 times",)
    assert len(reads) == 9 - reading.TORN_TRIES


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
