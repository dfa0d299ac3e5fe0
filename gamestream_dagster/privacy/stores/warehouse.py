"""The tables of Postgres: rows of boards, settled metrics and the system, as the inventory describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from gamestream_dagster.archive.erasing import NAMES_OTHERS, renamed
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.privacy.inventory import Fields, Kind, load_inventory, of_kind
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.reconciliation.certificates.certificate import resealed
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.tables import closed_seasons

ERASED_NAME: Final = "erased"
"""Stands in a text that named the player."""
BLANK: Final = ""
"""Stands for the player on the boards of closed seasons, where the rank stays. No id is empty."""
_STATEMENT_SECONDS: Final = 1800
_BATCH: Final = 1_000
# between words, as `archive.words.words_of` has it
_APART: Final = r"[\s\"'`,;{}\[\]()<>]+"
_AROUND: Final = "'\"`.,:;!?()[]{}<>"


class Warehouse:
    """Postgres.

    Args:
        settings: the stack.
    """

    name = "postgres"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def scan(self, player: Player) -> list[Found]:
        """Rows by table."""
        found: list[Found] = []
        with self._tables() as (link, tables):
            for table, fields in tables:
                count = link.execute(sa.select(sa.func.count()).select_from(table).where(_any(table, fields, player)))
                if rows := count.scalar_one():
                    found.append(Found(f"table {table.name}", rows))
        return found

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """Rows about the player; of texts and JSON the parts that are."""
        with self._tables() as (link, tables):
            for table, fields in tables:
                yield f"postgres/{table.name}", _exported(link, table, fields, player)

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Delete the player's rows, and blank the name where a row stays."""
        removed = 0
        boards = load_boards(season=None)
        with self._tables() as (link, tables):
            for table, fields in tables:
                count = _erase_rows(link, table, fields, player, boards.get(table.name))
                count += _blank_texts(link, table, fields, player, request)
                link.commit()
                if count:
                    removed += count
                    say(f"table {table.name}: {count} rows")
        return removed

    @contextmanager
    def _tables(self) -> Iterator[tuple[sa.Connection, list[tuple[sa.Table, Fields]]]]:
        """A connection, and the tables that exist and can hold something of a player."""
        built = engine(self._settings, statement_timeout_seconds=_STATEMENT_SECONDS)
        try:
            with built.connect() as link:
                yield link, _existing(link)
        finally:
            built.dispose()


def _existing(link: sa.Connection) -> list[tuple[sa.Table, Fields]]:
    inventory = load_inventory()
    known: Mapping[str, Fields] = {**inventory.tables, **inventory.outputs, **inventory.metrics}
    present = set(sa.inspect(link).get_table_names())
    return [
        (table, known[name])
        for name, table in load_metadata(load_boards(season=None)).tables.items()
        if name in present and name in known and of_kind(known[name], Kind.PLAYER, Kind.OTHER, Kind.MAY_HOLD)
    ]


def _any(table: sa.Table, fields: Fields, player: Player) -> sa.ColumnElement[bool]:
    named = [_is(table.c[name], player) for name in of_kind(fields, Kind.PLAYER, Kind.OTHER)]
    told = [_names(table.c[name], player) for name in of_kind(fields, Kind.MAY_HOLD)]
    return sa.or_(sa.false(), *named, *told)


def _is(text: sa.ColumnElement[Any], player: Player) -> sa.ColumnElement[bool]:
    """Whether a text is the player's id."""
    if player.user_id is not None:
        return text == player.user_id
    hashed = sa.func.encode(sa.func.sha256(sa.func.convert_to(sa.literal(player.key).concat(text), "UTF8")), "hex")
    return hashed == player.subject


def _names(column: sa.Column[Any], player: Player) -> sa.ColumnElement[bool]:
    """Whether a text or JSON names the player. Of JSON with a known shape only the fields of players are looked at."""
    if column.table.name == closed_seasons.name:
        return _in_json(column, "$.**.user_id", player)
    if column.table.name in load_inventory().metrics:
        return sa.or_(*(_in_json(column, f"$.{name}", player) for name in sorted(NAMES_OTHERS)))
    anywhere = _in_json(column, "$.**", player) if isinstance(column.type, JSONB) else _is(column, player)
    return sa.or_(anywhere, _in_words(sa.cast(column, sa.Text), player))


def _in_json(column: sa.ColumnElement[Any], path: str, player: Player) -> sa.ColumnElement[bool]:
    """Whether a text at a JSON path is the player's id. `path` is one of this module."""
    texts = sa.text(f"'{path} ? (@.type() == \"string\")'::jsonpath")
    values = sa.func.jsonb_path_query(column, texts).table_valued(sa.column("value", JSONB)).render_derived()
    return sa.exists().where(_is(values.c.value.op("#>>")(sa.text("'{}'")), player))


def _in_words(text: sa.ColumnElement[Any], player: Player) -> sa.ColumnElement[bool]:
    words = sa.func.regexp_split_to_table(text, _APART).table_valued("word").render_derived()
    found = sa.exists().where(sa.or_(_is(words.c.word, player), _is(sa.func.btrim(words.c.word, _AROUND), player)))
    if player.of_several_words:
        return sa.func.strpos(text, player.user_id) > 0
    return found


def _exported(link: sa.Connection, table: sa.Table, fields: Fields, player: Player) -> Rows:
    owners = of_kind(fields, Kind.PLAYER)
    if owners:
        chosen = sa.select(table).where(sa.or_(*(_is(table.c[name], player) for name in owners)))
        for row in _streamed(link, chosen):
            yield {name: value for name, value in row.items() if value is not None}
    for name in of_kind(fields, Kind.MAY_HOLD):
        if owners or not isinstance(table.c[name].type, JSONB):
            continue  # a sentence about the player can name others as well
        keys = [column.name for column in table.primary_key]
        chosen = sa.select(*(table.c[key] for key in keys), table.c[name]).where(_names(table.c[name], player))
        for row in _streamed(link, chosen):
            for part in parts_about(row[name], player):
                yield {**{key: row[key] for key in keys}, "column": name, "value": part}


def parts_about(value: Any, player: Player) -> Iterator[Any]:
    """The innermost objects of a JSON value in which the player's id is a value."""
    if isinstance(value, dict):
        if any(isinstance(one, str) and player(one) for one in value.values()):
            yield value
            return
        for one in value.values():
            yield from parts_about(one, player)
    elif isinstance(value, list):
        for one in value:
            yield from parts_about(one, player)
    elif isinstance(value, str) and player(value):
        yield value


def _streamed(link: sa.Connection, query: sa.Select[Any]) -> Iterator[dict[str, Any]]:
    result = link.execution_options(yield_per=_BATCH).execute(query)
    for row in result:
        yield dict(row._mapping)


def _erase_rows(link: sa.Connection, table: sa.Table, fields: Fields, player: Player, board: Board | None) -> int:
    owners = of_kind(fields, Kind.PLAYER, Kind.OTHER)
    if not owners:
        return 0
    mine = sa.or_(*(_is(table.c[name], player) for name in owners))
    blanked = 0
    if board is not None and board.season_column is not None:
        closed = sa.select(closed_seasons.c.season_id).where(closed_seasons.c.board == board.name)
        kept = sa.and_(mine, table.c[board.season_column].in_(closed))
        blank = sa.update(table).where(kept).values(dict.fromkeys(owners, BLANK))
        blanked = link.execute(blank).rowcount
    return blanked + link.execute(sa.delete(table).where(mine)).rowcount


def _blank_texts(link: sa.Connection, table: sa.Table, fields: Fields, player: Player, request: int) -> int:
    """Replace the name in texts and JSON; the rows stay."""
    changed = 0
    keys = list(table.primary_key)
    for name in of_kind(fields, Kind.MAY_HOLD):
        column = table.c[name]
        for row in link.execute(sa.select(*keys).where(_names(column, player))).fetchall():
            where = sa.and_(*(key == value for key, value in zip(keys, row, strict=True)))
            value = link.execute(sa.select(column).where(where)).scalar_one()
            fresh = _without_name(table.name, value, player, request)
            link.execute(sa.update(table).where(where).values({name: fresh}))
            changed += 1
    return changed


def _without_name(table: str, value: Any, player: Player, request: int) -> Any:
    if table == closed_seasons.name:
        fresh = with_other_names(value, player, frozenset({"user_id"}), BLANK)
        return resealed(fresh) if isinstance(fresh, dict) and "rows_digest" in fresh else fresh
    if table in load_inventory().metrics:
        return with_other_names(value, player, NAMES_OTHERS, renamed(request) or "")
    return without(value, player)


def with_other_names(value: Any, player: Player, fields: Collection[str], name: str) -> Any:
    """A JSON value with another name in place of the player, in some fields at any depth."""
    if isinstance(value, dict):
        return {
            field: name
            if field in fields and isinstance(one, str) and player(one)
            else with_other_names(one, player, fields, name)
            for field, one in value.items()
        }
    if isinstance(value, list):
        return [with_other_names(one, player, fields, name) for one in value]
    return value


def without(value: Any, player: Player) -> Any:
    """A text or JSON value with `ERASED_NAME` in place of each text that names the player."""
    if isinstance(value, str):
        return ERASED_NAME if player.in_text(value) else value
    if isinstance(value, dict):
        return {(ERASED_NAME if player.in_text(name) else name): without(one, player) for name, one in value.items()}
    if isinstance(value, list):
        return [without(one, player) for one in value]
    return value
