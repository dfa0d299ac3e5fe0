"""A board's total order and its ratios, exact: integers and fractions, never floats."""

from __future__ import annotations

from fractions import Fraction
from functools import cmp_to_key
from typing import Any

from gamestream_dagster.catalogue.boards import Board, Column, ColumnRole
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.values import Row


def product(expression: str, row: Row) -> int:
    """Value of a product of columns such as `a * b`, from the integers of one row."""
    value = 1
    for name in expression.split("*"):
        value *= int(row[name.strip()])
    return value


def factors(expression: str | None, board: Board, column: str) -> list[str]:
    """Columns of a product, checked against the board.

    Raises:
        BoardNotUsableError: a factor is no column of the board.
    """
    names = [name.strip() for name in (expression or "").split("*")]
    for name in names:
        if name not in board.columns:
            raise BoardNotUsableError(
                f"{board.folder / 'output.yaml'}: ratio {column!r} is of columns of the board joined by `*`, "
                f"not {name!r}; mend `numerator` and `denominator`."
            )
    return names


def ratio(column: Column, row: Row) -> Fraction | None:
    """The exact ratio by the row's own integers; None where it has none (denominator 0)."""
    denominator = product(column.denominator or "1", row)
    if denominator == 0:
        return None
    return Fraction(product(column.numerator or "1", row), denominator)


def shown_ratio_is_right(column: Column, row: Row, shown: Any) -> bool:
    """Whether the float shown beside the integers is their ratio to its last digit.

    A job divides the two products as doubles, so nothing but the conversion of integers beyond 53 bits may round twice.
    """
    exact = ratio(column, row)
    if exact is None or not isinstance(shown, float):
        return False
    divided = float(product(column.numerator or "1", row)) / float(product(column.denominator or "1", row))
    return shown in (divided, float(exact))


def order_value(board: Board, name: str, row: Row) -> Any:
    """What the order compares for one column: a fraction, an integer, or the text's UTF-8 bytes."""
    column = board.columns[name]
    if column.role is ColumnRole.RATIO:
        exact = ratio(column, row)
        return Fraction(-1) if exact is None else exact
    value = row[name]
    return value.encode() if isinstance(value, str) else value


def beats(board: Board, first: Row, second: Row) -> bool:
    """Whether `first` stands before `second` in the board's order."""
    return _compare(board, first, second) < 0


def in_order(board: Board, rows: list[Row]) -> list[Row]:
    """The rows, best first."""
    return sorted(rows, key=cmp_to_key(lambda a, b: _compare(board, a, b)))


def _compare(board: Board, first: Row, second: Row) -> int:
    for term in board.order:
        a, b = order_value(board, term.column, first), order_value(board, term.column, second)
        if a != b:
            return -1 if (a > b) == term.descending else 1
    return 0
