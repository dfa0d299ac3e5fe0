"""Export and erase of a player on real servers: planted copies in every store, certificate, replay, proof."""

from __future__ import annotations

import json
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.sources import stack_sources
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.suppression import load_suppression
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.platform.layout import log_file
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.privacy.certificate import EraseCertificate, Part, verify
from gamestream_dagster.privacy.certificate import Verdict as PrivacyVerdict
from gamestream_dagster.privacy.erase import erase, request_erase
from gamestream_dagster.privacy.export import export
from gamestream_dagster.reconciliation.model.values import Mode
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.resources.privacy import Privacy
from gamestream_dagster.settings import Settings
from tests.support.cli import gamestream
from tests.support.world import World, drain, provision

ANN = "ann"
TEAMS = 3


@dataclass(frozen=True)
class Erased:
    """A stack after the erase of one player, and what it held before."""

    settings: Settings
    certificate: EraseCertificate
    exported: Path
    totals: dict[str, int]
    """Of the other players, as they were sent."""


@pytest.fixture(scope="module")
def erased(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erased]:
    """Scores on the boards, copies planted in every store, one export, one erase."""
    folder = tmp_path_factory.mktemp("privacy")
    world.empty()
    settings = world.settings
    shutil.rmtree(settings.home / "privacy", ignore_errors=True)
    (settings.home / "secrets" / "privacy_key").unlink(missing_ok=True)
    provision(settings)
    totals = _send_scores(settings)
    apply_job(settings, "leaderboards_v1")
    drain(settings, job="leaderboards_v1")
    archive_topic(settings, stack_sources(settings)["user-score"])
    _plant(settings)
    export(settings, ANN, folder / "ann.zip")
    certificate = erase(settings, request_erase(settings, ANN).number)
    drain(settings, job="leaderboards_v1")
    yield Erased(settings, certificate, folder / "ann.zip", totals)
    shutil.rmtree(settings.home / "privacy", ignore_errors=True)
    world.spoil()


def _send_scores(settings: Settings) -> dict[str, int]:
    now, totals = int(time.time() * 1000), dict[str, int]()
    with ScoreProducer(settings.kafka, "user-score") as producer:
        for number in range(120):
            user = ANN if number % 5 == 0 else f"p{number % 7}"
            totals[user] = totals.get(user, 0) + 100 + number
            team = f"t{number % TEAMS}"
            score = {"user_id": user, "team_id": team, "team_name": team.upper(), "score": 100 + number}
            score |= {"event_time_millis": now + number, "event_id": f"e{number}"}
            producer.send(user.encode(), orjson.dumps(score))
    del totals[ANN]
    return totals


def _plant(settings: Settings) -> None:
    letter = {"reason": "NOT_JSON", "user_id": None, "content": '{"user_id": "ann", broken'}
    _produce(settings, "game-events-dlq", ANN.encode(), letter)
    paid = {"transaction_id": "x", "user_id": ANN, "amount": 5}
    _produce(settings, "transaction-ids", b'{"transaction_id":"x"}', paid)
    season = [{"rnk": 1, "user_id": ANN, "team_name": "T"}, {"rnk": 2, "user_id": "p1", "team_name": "T"}]
    statements = [
        "INSERT INTO friend_ties (user_id, friend_id, date) VALUES ('p1', 'ann', '2026-11-01'), "
        "('p1', 'p2', '2026-11-01')",
        "INSERT INTO reconciliation_runs (run_id, started_at, mode) VALUES ('run', now(), 'bracket')",
        "INSERT INTO differences (run_id, difference_id, board, sink, entity, kind, cause, explanation) VALUES "
        "('run', 1, 'top_players', 'postgres', 'ann', 'VALUE', 'LATE', 'ann has more'), "
        "('run', 2, 'top_players', 'postgres', 'annabel', 'VALUE', 'LATE', 'annabel has more')",
    ]  # fmt: skip
    with open_engine(settings) as engine, engine.begin() as link:
        for statement in statements:
            link.execute(sa.text(statement))
        closed = "INSERT INTO closed_seasons VALUES ('season_players', '2026-11-01', 'daily', now(), :rows, '{}')"
        link.execute(sa.text(closed), {"rows": json.dumps(season)})
    settings.reports_dir.mkdir(parents=True, exist_ok=True)
    (settings.reports_dir / "with.html").write_text("<td>ann</td>", encoding="utf-8")
    (settings.reports_dir / "without.html").write_text("<td>annabel</td>", encoding="utf-8")


def _produce(settings: Settings, topic: str, key: bytes, value: dict[str, Any]) -> None:
    with ScoreProducer(settings.kafka, topic) as producer:
        producer.send(key, orjson.dumps(value))


def _rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_engine(settings) as engine, engine.connect() as link:
        return [tuple(row) for row in link.execute(sa.text(sql))]


def test_the_export_holds_every_value_of_the_player(erased: Erased) -> None:
    with zipfile.ZipFile(erased.exported) as archive:
        rows = {one["file"]: one["rows"] for one in json.loads(archive.read("manifest.json"))["files"]}
        text = b"".join(archive.read(name) for name in rows).decode()
    assert rows["archive/user-score.jsonl"] == rows["kafka/user-score.jsonl"] == 24
    assert rows["postgres/top_players.jsonl"] == rows["postgres/closed_seasons.jsonl"] == 1
    assert rows["kafka/game-events-dlq.jsonl"] == rows["kafka/transaction-ids.jsonl"] == 1
    assert '"user_id":"p1"' not in text


def test_every_planted_copy_is_found_and_gone_or_waits(erased: Erased) -> None:
    places = {one.place: one for one in erased.certificate.places}
    for place in ("archive of user-score", "table differences", "table friend_ties", "table closed_seasons", "reports"):
        assert (places[place].found > 0, places[place].left) == (True, 0), place
    assert places["state of leaderboards_v1"].removed == 1
    for topic in ("user-score", "game-events-dlq", "transaction-ids"):
        assert places[f"topic {topic}"].clean_at is not None, topic
    assert erased.certificate.verdict is PrivacyVerdict.WAITS
    assert verify(erased.settings, erased.certificate) == []


def test_others_keep_their_rows(erased: Erased) -> None:
    settings = erased.settings
    assert _rows(settings, "SELECT friend_id FROM friend_ties") == [("p2",)]
    told = _rows(settings, "SELECT entity, explanation FROM differences ORDER BY difference_id")
    assert told == [("erased", "erased"), ("annabel", "annabel has more")]
    [(season,)] = _rows(settings, "SELECT rows FROM closed_seasons")
    assert [(row["rnk"], row["user_id"]) for row in season] == [(1, ""), (2, "p1")]
    assert sorted(path.name for path in settings.reports_dir.glob("with*.html")) == ["without.html"]


def test_the_boards_forget_the_player_and_agree_with_the_recompute(erased: Erased) -> None:
    settings = erased.settings
    shown = dict(_rows(settings, "SELECT user_id, total_score FROM top_players"))
    assert shown == erased.totals
    run = reconcile(settings, Mode.BRACKET, ["top_teams", "top_players", "team_mvps"])
    assert (run.verdict.value, [one.cause for one in run.differences]) == ("MATCH", [])
    [proof] = run.topics
    assert proof.ledger is not None
    assert (proof.ledger.reasons, proof.ledger.faults) == ({"ERASED": 24}, ())


def test_new_events_of_the_player_count_nowhere_and_end_the_certificate(erased: Erased) -> None:
    settings = erased.settings
    score = {"user_id": ANN, "team_id": "t0", "team_name": "T0", "score": 1_000_000, "event_id": "again"}
    _produce(settings, "user-score", ANN.encode(), score | {"event_time_millis": int(time.time() * 1000)})
    drain(settings, job="leaderboards_v1")
    archive_topic(settings, stack_sources(settings)["user-score"])
    assert ANN not in dict(_rows(settings, "SELECT user_id, total_score FROM top_players"))
    [found] = verify(settings, erased.certificate)
    assert (found.part, "topic user-score" in found.sentence) == (Part.FOUND, True)
    again = erase(settings, request_erase(settings, ANN).number)
    assert sum(one.removed for one in again.places) == 0
    assert verify(settings, again) == []


def test_a_copy_planted_in_a_table_is_found(erased: Erased) -> None:
    settings = erased.settings
    made = erase(settings, request_erase(settings, ANN).number)
    with open_engine(settings) as engine, engine.begin() as link:
        link.execute(sa.text("INSERT INTO top_players (rnk, user_id, total_score) VALUES (99, 'ann', 1)"))
    try:
        assert [one.part for one in verify(settings, made)] == [Part.FOUND]
    finally:
        with open_engine(settings) as engine, engine.begin() as link:
            link.execute(sa.text("DELETE FROM top_players WHERE rnk = 99"))


def test_a_tombstone_lies_on_the_partition_of_its_record(erased: Erased) -> None:
    admin = KafkaAdmin(erased.settings.kafka)
    ends = admin.end_offsets("transaction-ids", read_committed=True)
    found = [
        (chunk.partition, key, value)
        for chunk in read_range(erased.settings.kafka, "transaction-ids", {}, ends)
        for key, value in zip(chunk.raw.keys, chunk.raw.values, strict=True)
    ]
    assert found[-1] == (found[0][0], found[0][1], None)


def test_the_list_and_the_requests_name_nobody(erased: Erased) -> None:
    assert load_suppression(erased.settings)(ANN)
    assert ANN not in (erased.settings.home / "privacy" / "suppressed.json").read_text().replace('"request"', "")
    assert {row[0] for row in _rows(erased.settings, "SELECT player FROM erase_requests")} == {None}


@pytest.fixture
def api(erased: Erased) -> Iterator[httpx.Client]:
    """The serving API of the stack, with a key of the scope `erase`."""
    settings, stack = erased.settings, Stack(erased.settings)
    stack.up(("api",))
    try:
        made = gamestream(settings, "keys", "create", "--app", "support", "--scope", "erase", "--json")
        assert made.returncode == 0, made.words
        headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        with httpx.Client(base_url=settings.api_url, headers=headers, timeout=30, trust_env=False) as http:
            yield http
    finally:
        stack.stop("api")


def test_a_request_over_http_is_carried_out_by_its_number(erased: Erased, api: httpx.Client) -> None:
    settings = erased.settings
    answer = api.post(f"/v1/players/{ANN}/erase")
    assert answer.status_code == 202, answer.text
    number, location = answer.json()["number"], answer.headers["Location"]
    assert api.post(f"/v1/players/{ANN}/erase").json() == answer.json()
    assert api.get(location).json() == answer.json()
    kept = "SELECT jsonb_typeof(plan), requested_by FROM erase_requests"
    assert _rows(settings, f"{kept} WHERE request = {number}") == [("null", "api:support")]
    assert Privacy(settings).waiting() == [number]
    said = list[str]()
    made = erase(settings, number, said.append)
    assert said[0] == "scanning every store"
    assert _rows(settings, f"{kept} WHERE request = {number}") == [("array", "api:support")]
    assert Privacy(settings).waiting() == []
    told = api.get(location)
    assert (told.json()["state"], told.json()["certificate"]) == ("FINISHED", made.model_dump(mode="json"))
    assert {place["place"]: place["found"] for place in told.json()["certificate"]["places"]}["topic user-score"] >= 24
    assert api.get(f"/v1/erasures/{number + 1}").json()["code"] == "NO_SUCH_ERASURE"
    assert verify(settings, made) == []
    log = log_file(settings, "api").read_text(encoding="utf-8")
    assert "/v1/players/{player:path}/erase" in log
    for text in (told.text, log, " ".join(said)):
        assert not re.search(rf"\b{ANN}\b", text)
