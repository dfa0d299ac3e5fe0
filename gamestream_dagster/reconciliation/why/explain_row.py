"""Looks at a board and its archive, and has the question answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, load_boards
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.cut import check_beginning, check_identity
from gamestream_dagster.reconciliation.model.values import Entity, Sink
from gamestream_dagster.reconciliation.observe.boards import recorded_cut
from gamestream_dagster.reconciliation.observe.sinks import newest_window, read_tables, read_topic
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.why.answer import Why
from gamestream_dagster.reconciliation.why.question import Question
from gamestream_dagster.settings import Settings

_ALIASES = {"player": "user_id", "team": "team_id"}


def parse_entity(board: Board, text: str) -> Entity:
    """`player:p1`, `user_id:p1` or `p1`; several parts, in the order of the board's `entity`, by commas.

    Raises:
        BoardNotUsableError: it does not say what the board is about.
    """
    parts = text.split(",") if len(board.entity) > 1 else [text]
    if len(parts) != len(board.entity):
        raise BoardNotUsableError(f"{board.name} is about {', '.join(board.entity)}: give them with commas between.")
    found: list[str] = []
    for part, column in zip(parts, board.entity, strict=True):
        prefix, colon, rest = part.partition(":")
        known = colon and prefix in (*_ALIASES, *board.columns)
        if known and _ALIASES.get(prefix, prefix) != column:
            raise BoardNotUsableError(f"{board.name} is about {column}, not about {prefix}; see `gamestream board`.")
        found.append(rest if known else part)
    return tuple(found)


def explain_row(
    settings: Settings,
    board_name: str,
    entity: str,
    use: Callable[[Why], None],
    *,
    sink: Sink = Sink.POSTGRES,
    root: Path = FLINK_SQL_DIR,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Put the answer together and hand it to `use`, while the archive is open.

    Raises:
        UnknownEntityError: no record is about the entity.
        BoardNotUsableError: there is no such board, or the entity is not what it is about.
        CouldNotLookError, ArchiveError, ServiceError: the board or the archive cannot be read.
    """
    boards = load_boards(root, season=settings.season)
    if board_name not in boards:
        raise BoardNotUsableError(f"There is no board {board_name!r}; the boards are: {', '.join(boards)}.")
    board = boards[board_name]
    wanted = parse_entity(board, entity)
    say("board")
    # What a source commits, it commits when a checkpoint is complete: the sinks have written that before. How far the
    # job has read would be ahead of them.
    kafka = KafkaAdmin(settings.kafka)
    source = source_of_board(board, stack_sources(settings))
    topic = source.topic
    low = kafka.committed(f"gamestream-{board.job}", topic)
    with open_engine(settings) as engine:
        topic_id, job = kafka.topic_id(topic), recorded_cut(engine, board.job, topic)
        check_identity(topic, topic_id, [job])
        rows = read_tables(engine, [board])[board.name] if sink is Sink.POSTGRES else read_topic(settings.kafka, board)
    as_of, shown = newest_window(board, rows)
    say("archive")
    archived = archive_topic(settings, source, topic_id=topic_id)
    check_beginning(topic, archived.chapter.begins, [job])
    cut = dict(archived.archived_upto)
    say("recompute")
    with open_recompute(settings, source, say=say) as archive:
        at = archive.at(cut, low)
        if board.season_column is not None:
            if as_of is None:
                raise CouldNotLookError(f"{board.name} shows no season yet", "see `gamestream board`")
            at = replace(at, season=season_at(settings.season, as_of))
        window = as_of if board.season_column is None else None
        use(Question(archive, at, board, wanted, window).answer(shown, sink))
