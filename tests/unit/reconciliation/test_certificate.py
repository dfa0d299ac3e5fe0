"""Seasons of the recompute, and certificates: made, verified, and each way in which one can disagree."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.erasing import erase_from_archive
from gamestream_dagster.archive.errors import ArchiveForgedError
from gamestream_dagster.archive.manifest import Chapter, Manifest
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.catalogue.seasons import season_named
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.events.suppression import suppress
from gamestream_dagster.privacy.player import player_of
from gamestream_dagster.reconciliation.certificates.certificate import (
    Certificate,
    Part,
    Proof,
    _digest,
    certify,
    emptied_since,
    own_digest,
    read_certificate,
    resealed,
    verify,
)
from gamestream_dagster.reconciliation.certificates.seasons import ended
from gamestream_dagster.reconciliation.compare.open_seasons import compare_seasons
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.values import BoardResult, Sink
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.settings import Season, Settings, load_settings
from tests.support.archive_maker import TOPIC, make_archive
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

BOARDS = load_boards(season=Season.DAILY)
PLAYERS = BOARDS["season_players"]
YESTERDAY, TODAY = season_named(Season.DAILY, "2026-11-20"), season_named(Season.DAILY, "2026-11-21")
CUT = {0: 3, 1: 2}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings(home=tmp_path, season=Season.DAILY)
    times = [(0, 0, "ann", 5, YESTERDAY.end - 1), (0, 1, "bob", 7, TODAY.start), (0, 2, "ann", 9, TODAY.start + 5)]
    times += [(1, 0, "cid", 4, YESTERDAY.start), (1, 1, "cid", 6, TODAY.start + 4_000_000)]
    events = [Event(part, at, user, "t1", "Lions", score, when) for part, at, user, score, when in times]
    make_archive(found.archive_dir / TOPIC, events)
    return found


def made(settings: Settings, board: str = "season_players") -> Certificate:
    span = YESTERDAY if board.startswith("season") else None
    with open_recompute(settings, SCORES) as archive:
        proof = Proof("run", "MATCH", "f00d")
        return certify(
            archive, SCORES, replace(archive.at(CUT), season=span), BOARDS[board], proof, season=Season.DAILY
        )


def test_a_season_is_its_own_events(settings: Settings):
    with open_recompute(settings, SCORES) as archive:
        rows = {
            span: board_rows(archive, replace(archive.at(CUT), season=span), PLAYERS) for span in (YESTERDAY, TODAY)
        }
        assert [(row["user_id"], row["total_score"]) for row in rows[YESTERDAY]] == [("ann", 5), ("cid", 4)]
        assert [(row["user_id"], row["total_score"]) for row in rows[TODAY]] == [("ann", 9), ("bob", 7), ("cid", 6)]
        assert {row["season_id"] for row in rows[TODAY]} == {TODAY.start}
        all_time = board_rows(archive, archive.at(CUT), BOARDS["top_players"])
        assert [(row["user_id"], row["total_score"]) for row in all_time] == [("ann", 14), ("cid", 10), ("bob", 7)]
        with pytest.raises(BoardNotUsableError, match="say which with `season`"):
            board_rows(archive, archive.at(CUT), PLAYERS)


def test_open_seasons_are_compared_each_by_itself(settings: Settings):
    with open_recompute(settings, SCORES) as archive:
        rows = [
            row
            for span in (YESTERDAY, TODAY)
            for row in board_rows(archive, replace(archive.at(CUT), season=span), PLAYERS)
        ]

        def compared(shown: list[dict]) -> BoardResult:
            at = archive.at(CUT, CUT)
            [result] = compare_seasons(archive, at, PLAYERS, {Sink.POSTGRES: shown}, settings)
            return result

        right = compared(rows)
        assert right.differences == ()
        assert right.rows_compared == 5
        wrong = [row | ({"total_score": 8} if row["user_id"] == "bob" else {}) for row in rows]
        found = compared(wrong)
        (difference,) = found.differences
        assert difference.explanation.startswith("season 2026-11-21: total_score is 8")
        stray = [*rows, rows[0] | {"season_id": TODAY.start + 1}]
        found = compared(stray)
        assert [one.explanation[:22] for one in found.differences] == ["no season begins then:"]


def test_a_season_ends_when_every_partition_is_past_it(settings: Settings):
    with open_recompute(settings, SCORES) as archive:
        assert ended(archive, archive.at(CUT), settings) == []  # partition 0 has not passed the hour
        soon = settings.model_copy(update={"season_lateness_seconds": 0})
        assert ended(archive, archive.at(CUT), soon) == [YESTERDAY]


@pytest.mark.parametrize("board", ["season_players", "season_teams", "season_mvps", "top_players", "team_mvps"])
def test_what_was_made_agrees(settings: Settings, board: str, tmp_path: Path):
    certificate = made(settings, board)
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate.model_dump(mode="json"), indent=2), encoding="utf-8")
    assert read_certificate(file) == certificate
    assert verify(settings, certificate) == []


def test_changed_rows_are_found_in_the_file_and_in_the_recompute(settings: Settings):
    certificate = made(settings)
    rows = [certificate.rows[0] | {"total_score": 500}, *certificate.rows[1:]]
    found = verify(settings, certificate.model_copy(update={"rows": rows}))
    assert [one.part for one in found] == [Part.FILE, Part.ROWS]
    assert found[1].sentence == "rank 1: total_score is 500, the recompute says 5"


def test_a_changed_verdict_is_found(settings: Settings):
    found = verify(settings, made(settings).model_copy(update={"verdict": "DIFFERENT"}))
    assert [one.part for one in found] == [Part.FILE]


def test_changed_sql_is_found(settings: Settings, tmp_path: Path):
    certificate = made(settings)
    root = tmp_path / "flink_sql"
    shutil.copytree(FLINK_SQL_DIR, root)
    file = root / "season_boards_v1" / "outputs" / "season_players" / "recompute.sql"
    file.write_text(file.read_text(encoding="utf-8") + "\n-- another\n", encoding="utf-8")
    (found,) = verify(settings, certificate, root)
    assert found.part is Part.SQL
    assert found.sentence.startswith("recompute.sql of season_players is not the one of then")


def test_a_changed_archive_is_found(settings: Settings):
    certificate = made(settings)
    folder = settings.archive_dir / TOPIC
    path = folder / next(file.path for file in load_manifest(folder).files if file.partition == 1)
    table = pq.read_table(path)
    place = table.column_names.index("score")
    pq.write_table(table.set_column(place, "score", pc.add(table["score"], pa.scalar(1, pa.int64()))), path)
    with pytest.raises(ArchiveForgedError, match=path.name):
        verify(settings, certificate)
    # Who also writes the manifest anew still cannot give it the head that the certificate pins.
    forged = [file.model_copy(update={"sha256": sha256_of(folder / file.path)}) for file in load_manifest(folder).files]
    save_manifest(folder, Manifest(topic=TOPIC).opened(Chapter()).extended(*forged))
    found = verify(settings, certificate)
    assert [one.part for one in found] == [Part.ARCHIVE, Part.ARCHIVE, Part.ROWS]
    assert "was written anew since" in found[0].sentence
    assert found[1].sentence == "the archive holds other events of partition 1 before the cut than it did"


def recreated(settings: Settings) -> None:
    """The topic was deleted and created again, and the archive holds other events of the same offsets."""
    folder = settings.archive_dir / TOPIC
    manifest = load_manifest(folder).opened(Chapter(topic_id_then=TopicId("second")))
    other = settings.home / "other" / TOPIC
    times = [(0, 0, "eve", 50, TODAY.start), (0, 1, "eve", 70, TODAY.start), (0, 2, "eve", 90, TODAY.start)]
    make_archive(other, [Event(part, at, user, "t", "T", score, when) for part, at, user, score, when in times])
    (folder / "chapter=2").mkdir()
    files = []
    for file in load_manifest(other).files:
        shutil.copy(other / file.path, folder / "chapter=2" / file.path)
        files.append(file.model_copy(update={"path": f"chapter=2/{file.path}"}))
    save_manifest(folder, manifest.extended(*files))


def test_a_certificate_is_verified_in_the_chapter_that_it_was_made_from(settings: Settings):
    certificate = made(settings)
    recreated(settings)
    assert verify(settings, certificate) == []
    with open_recompute(settings, SCORES) as archive:
        rows = board_rows(archive, archive.at(CUT), BOARDS["top_players"])
        assert [(row["user_id"], row["total_score"]) for row in rows] == [("eve", 210)]


def test_a_cut_of_one_incarnation_is_not_certified_over_the_archive_of_another(settings: Settings):
    recreated(settings)
    with open_recompute(settings, SCORES) as archive, pytest.raises(CouldNotLookError, match="first, now second"):
        certify(
            archive, SCORES, archive.at(CUT), BOARDS["top_players"], Proof("run", "MATCH", "f00d", TopicId("first"))
        )


def test_a_certificate_of_a_topic_that_the_archive_does_not_hold_cannot_be_computed(settings: Settings):
    certificate = made(settings).model_copy(update={"topic_id": TopicId("elsewhere"), "archive_head": "0" * 64})
    found = verify(settings, certificate.model_copy(update={"digest": own_digest(certificate)}))
    assert [one.part for one in found] == [Part.TOPIC]
    assert "it is of the topic elsewhere" in found[0].sentence


def test_a_certificate_of_the_version_before_is_verified_by_its_contents(settings: Settings, tmp_path: Path):
    now = made(settings).model_dump(mode="json", exclude={"topic_id", "holds_from", "archive_head"}) | {"version": 1}
    now["digest"] = own_digest(Certificate.model_validate(now))
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(now), encoding="utf-8")
    recreated(settings)
    assert verify(settings, read_certificate(file)) == []


def test_events_after_the_cut_change_nothing(settings: Settings):
    whole = made(settings)
    with open_recompute(settings, SCORES) as archive:
        at = replace(archive.at({0: 1, 1: 1}), season=YESTERDAY)
        early = certify(archive, SCORES, at, PLAYERS, Proof(), season=Season.DAILY)
    assert verify(settings, early) == []
    assert early.rows == whole.rows


def test_a_missing_range_is_named(settings: Settings):
    certificate = made(settings)
    folder = settings.archive_dir / TOPIC
    kept = tuple(file for file in load_manifest(folder).files if file.partition == 0)
    save_manifest(folder, Manifest(topic=TOPIC).opened(Chapter()).extended(*kept))
    log, found = verify(settings, certificate)
    assert log.part is Part.ARCHIVE
    assert found.part is Part.OFFSETS
    assert "p1@0..1" in found.sentence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is JSON, but no certificate"),
        ('{"version": 7}', "has the version 7, this gamestream reads 1 and 2"),
        ('{"version": 1}', "is no certificate: `board`: Field required"),
    ],
)
def test_what_is_no_certificate_is_told(tmp_path: Path, text: str, message: str):
    file = tmp_path / "certificate.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CouldNotLookError, match=message):
        read_certificate(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(CouldNotLookError, match="cannot be read"):
        read_certificate(tmp_path / "none.json")


def forged(certificate: Certificate, **changes: object) -> Certificate:
    """A certificate that somebody changed, and whose digests they wrote anew."""
    data = certificate.model_dump(mode="json") | changes
    changed = Certificate.model_validate(data | {"rows_digest": _digest(data["rows"])})
    return changed.model_copy(update={"digest": own_digest(changed)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [rows[0] | {"user_id": "eve", "total_score": 500}, *rows], "each once"),
        (lambda rows: rows[::-1], "best first"),
        (lambda rows: [rows[0] | {"rnk": [1]}, *rows[1:]], "whole numbers"),
        (lambda rows: [rows[0] | {"rnk": True}, *rows[1:]], "whole numbers"),
        (lambda rows: [rows[0] | {"total_score": 14.0}, *rows[1:]], "total_score is 14.0, the recompute says 14"),
        (lambda rows: [rows[0] | {"bonus": 9}, *rows[1:]], "no column 'bonus'"),
    ],
)
def test_rows_with_digests_written_anew_are_still_other_rows(settings: Settings, change, said: str):
    certificate = made(settings, "top_players")
    found = verify(settings, forged(certificate, rows=change(certificate.rows)))
    assert [one.part for one in found] == [Part.ROWS]
    assert said in found[0].sentence


def test_a_certificate_over_nothing_does_not_agree(settings: Settings):
    certificate = made(settings, "top_players")
    rows = [certificate.rows[0] | {"total_score": 500}]
    elsewhere = forged(certificate, topic="elsewhere", archive={}, rows=rows)
    assert [one.part for one in verify(settings, elsewhere)] == [Part.TOPIC]
    shutil.rmtree(settings.archive_dir / TOPIC)
    assert [one.part for one in verify(settings, forged(certificate, archive={}, rows=rows))] == [Part.TOPIC]


def test_a_certificate_that_claims_another_origin_is_found(settings: Settings):
    recreated(settings)
    with open_recompute(settings, SCORES) as archive:
        certificate = certify(archive, SCORES, archive.at(CUT), BOARDS["top_players"], Proof())
    assert verify(settings, certificate) == []
    (other,) = verify(settings, forged(certificate, topic_id="first"))
    assert other.part is Part.ARCHIVE
    assert "of the topic first, the archive's chapter is of second" in other.sentence
    (later,) = verify(settings, forged(certificate, holds_from={"0": 2}))
    assert later.sentence == "it says that it holds from p0@2, the archive's chapter begins at offset 0"


def erased(settings: Settings, certificate: Certificate, user: str) -> Certificate:
    """The certificate as an erase leaves it in `closed_seasons`, and the archive without the player."""
    suppress(settings, user, 1)
    erase_from_archive(settings.archive_dir / TOPIC, player_of(settings, user), 1)
    data = certificate.model_dump(mode="json")
    rows = [row | {"user_id": "" if row["user_id"] == user else row["user_id"]} for row in data["rows"]]
    return Certificate.model_validate(resealed({**data, "rows": rows}))


def test_a_certificate_from_before_an_erase_holds_without_the_name(settings: Settings):
    before = made(settings)
    after = erased(settings, before, "ann")
    assert "ann" not in after.model_dump_json()
    assert (verify(settings, after), verify(settings, before)) == ([], [])
    assert emptied_since(settings, after) == 2


def test_rows_of_others_in_such_a_certificate_are_still_recomputed(settings: Settings):
    after = erased(settings, made(settings), "ann")
    data = after.model_dump(mode="json")
    for row in data["rows"]:
        row["total_score"] += row["user_id"] == "cid"
    forged = Certificate.model_validate(resealed(data))
    [found] = verify(settings, forged)
    assert (found.part, found.sentence) == (Part.ROWS, "cid: total_score is 5, the recompute says 4")


def test_a_board_of_teams_from_before_an_erase_holds_too(settings: Settings):
    before = made(settings, "season_teams")
    suppress(settings, "ann", 1)
    erase_from_archive(settings.archive_dir / TOPIC, player_of(settings, "ann"), 1)
    assert verify(settings, before) == []
