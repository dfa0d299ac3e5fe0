"""A board's total order and its ratios as SQL, built from the description; ratios are compared by their integers."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gamestream_dagster.catalogue.boards import IDENTIFIER, Board, CatalogueError, Column, ColumnRole, ColumnType

# Text is ordered by its bytes, as Flink does; the database's own collation may differ.
_BYTES = "C"
# Great Expectations puts the validated rows here, with an alias of its own.
BATCH = sa.text("{batch}")
_PARTS = ("_numerator", "_denominator")
_NAME_LENGTH = 40  # with the longest ending this stays under the 63 bytes of a Postgres name
_ROUNDING = sa.literal_column("1e-9")


def out_of_order(board: Board) -> str:
    """SELECT over `{batch}` of the rows that do not stand strictly after the row one rank above them (in a season)."""
    rank = sa.column(board.rank_column)
    season = [] if board.season_column is None else [sa.column(board.season_column)]
    labels: list[list[sa.Label]] = []
    for term in board.order:
        values = _order_values(board, term.column)
        names = [f"{term.column[:_NAME_LENGTH]}{part}" for part in (_PARTS if len(values) == 2 else ("",))]
        pairs_of_values = list(zip(names, values, strict=True))
        above = [
            sa.func.lag(value).over(order_by=rank, partition_by=season or None).label(f"{name}_above")
            for name, value in pairs_of_values
        ]
        labels.append([*above, *(value.label(name) for name, value in pairs_of_values)])
    pairs = (
        sa.select(*season, rank, *(label for group in labels for label in group)).select_from(BATCH).subquery("pairs")
    )
    after: sa.ColumnElement[bool] = sa.false()
    for group, term in reversed(list(zip(labels, board.order, strict=True))):
        columns = [pairs.c[label.name] for label in group]
        lower, equal = _compare(columns)
        strictly = sa.not_(lower) & sa.not_(equal) if term.descending else lower
        after = sa.or_(strictly, sa.and_(equal, after))
    first = pairs.c[labels[0][0].name].is_(None)
    return as_text(sa.select(pairs).where(sa.not_(first), sa.func.coalesce(after, sa.false()).is_(sa.false())))


def ratio_not_its_integers(board: Board, name: str) -> str:
    """SELECT over `{batch}` of the rows whose ratio is not numerator / denominator, up to the rounding of a double."""
    numerator, denominator = integers(board, name)
    ratio = sa.column(name)
    exact = numerator / sa.func.nullif(denominator, 0)
    distance = sa.func.abs(sa.cast(ratio, sa.Numeric) - exact)
    wrong = sa.or_(
        denominator <= 0, ratio.is_(None), distance > _ROUNDING * sa.func.greatest(sa.func.abs(exact), _ROUNDING)
    )
    return as_text(sa.select(*(sa.column(each) for each in board.columns)).select_from(BATCH).where(wrong))


def integers(board: Board, name: str) -> tuple[sa.ColumnElement, sa.ColumnElement]:
    """Numerator and denominator of a ratio column as `numeric`, so that a product of big totals cannot overflow."""
    column = board.columns[name]
    return _product(board, column.numerator), _product(board, column.denominator)


def is_share(board: Board, column: Column) -> bool:
    """True for the part of a whole: the numerator sums over finer keys than the denominator, so 0 < ratio <= 1."""
    if column.role is not ColumnRole.RATIO:
        return False
    part, whole = board.columns.get(column.numerator or ""), board.columns.get(column.denominator or "")
    if part is None or whole is None:
        return False
    sums = part.role is ColumnRole.SUM and whole.role is ColumnRole.SUM
    return sums and set(whole.over) < set(part.over)


def _order_values(board: Board, name: str) -> list[sa.ColumnElement]:
    column = board.columns[name]
    if column.role is ColumnRole.RATIO:
        return list(integers(board, name))
    value: sa.ColumnElement = sa.column(name)
    return [sa.collate(value, _BYTES) if column.type is ColumnType.STRING else value]


def _compare(columns: list[sa.ColumnElement]) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """(above < own, above = own) of one order term; a ratio comes as numerator and denominator."""
    if len(columns) == 2:
        above, own = columns
        return above < own, above == own
    above_n, above_d, own_n, own_d = columns
    return above_n * own_d < own_n * above_d, above_n * own_d == own_n * above_d


def _product(board: Board, text: str | None) -> sa.ColumnElement:
    names = [part.strip() for part in (text or "").split("*")]
    product: sa.ColumnElement | None = None
    for name in names:
        if name not in board.columns or not IDENTIFIER.match(name):
            raise CatalogueError(f"{board.folder}/output.yaml: {text!r} must be a product of columns of the board")
        factor = sa.cast(sa.column(name), sa.Numeric)
        product = factor if product is None else product * factor
    if product is None:
        raise CatalogueError(f"{board.folder}/output.yaml: a ratio needs `numerator` and `denominator`")
    return product


def as_text(select: sa.Select) -> str:
    """The SELECT as Postgres SQL, its values as literals."""
    return str(select.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
