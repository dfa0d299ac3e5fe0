"""The bodies of the serving API, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from gamestream_dagster.privacy.certified import EraseCertificate
from gamestream_dagster.serving_api.views import Origin

MOST_IDS: Final = 500
MOST_ID_CHARACTERS: Final = 1000
Cell = int | float | str | None


class _Body(BaseModel, extra="forbid"):
    pass


class AsOf(_Body):
    """The cut of the rows, as a bracket: every event before `low` is in them, no event from `high` on is."""

    topic: str = Field(description="Topic of the events.")
    topic_id: str | None = Field(description="Kafka's id of the topic: offsets of another one mean nothing here.")
    low: dict[str, int] | None = Field(description="Next offset by partition; null: unknown.")
    high: dict[str, int] | None = Field(description="Next offset by partition; null: unknown.")
    unknown: str | None = Field(description="Why the bracket is unknown.")


class VerifiedBy(_Body):
    """The newest reconciliation of the board."""

    run: str = Field(description="Id of the run, as in `gamestream reconcile` and Dagster.")
    verdict: str = Field(description="MATCH, EXPLAINED, DIFFERENT or COULD_NOT_RUN.")
    reason: str | None = Field(description="Why it could not run.")
    finished_at: str
    rows_compared: int


class Standing(_Body):
    """What every answer about a board says besides its rows."""

    board: str
    origin: Origin = Field(description="board: its table in Postgres. ranks: the ranks of all players.")
    season: str | None = Field(description="Start of the season; null for a board of all time.")
    as_of: AsOf
    read_at: str = Field(description="When the rows were read, or the ranks were seen to be up to date.")
    settled_until: str | None = Field(
        description="Event time up to which nothing changes any more: end of the window, or of a closed season. Null: "
        "late events count at any time."
    )
    closed_at: str | None = Field(description="When the season was closed, with its certificate.")
    verified_by: VerifiedBy | None = Field(description="Null: never reconciled.")
    tie_rule: str = Field(description="The board's total order; no two rows are equal in it.")
    faults: list[str] = Field(
        description="How the rows contradict the board's own rules, such as a player with two ranks. Empty but for a "
        "table that was edited; `gamestream reconcile` says why."
    )


class BoardRow(_Body):
    """One row."""

    rank: int
    id: str = Field(description="The player or team; several parts by commas.")
    value: Cell = Field(description="What the board is ordered by first.")
    columns: dict[str, Cell] = Field(description="Every column; of ranks those of rank, player and total.")
    differing: list[str] = Field(description="Causes of the differences that the reconciliation found at this rank.")


class Ahead(_Body):
    """Who stands one rank better."""

    rank: int
    id: str
    ahead_by: int | float | None = Field(description="Distance in `value`; 0 where a tie decides.")


class RowAnswer(Standing):
    """One player's or team's row."""

    row: BoardRow
    next: Ahead | None = Field(description="The row above; null for the first.")
    rows_total: int = Field(description="Rows of the board; of ranks all players.")


class PageAnswer(Standing):
    """A page of a board. All pages that follow by `next` are of the same moment."""

    rows: list[BoardRow]
    rows_total: int = Field(description="Rows of the board; of ranks all players.")
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


class AroundAnswer(Standing):
    """The rows around one."""

    id: str
    rows: list[BoardRow] = Field(description="By rank, with the one that was asked for.")
    rows_total: int = Field(description="Rows of the board; of ranks all players.")


class AmongAnswer(Standing):
    """The rows of some players or teams."""

    rows: list[BoardRow] = Field(description="Those on the board, by rank.")
    absent: list[str] = Field(description="Ids without a row on the board, in the order given.")
    rows_total: int = Field(description="Rows of the board; of ranks all players.")


class WhyAnswer(Standing):
    """Why a row is as it is."""

    why: dict[str, Any] = Field(description="What `gamestream why --json` prints: sums, events, what does not count.")


class ColumnAbout(_Body):
    """One column of a board."""

    type: str
    role: str
    meaning: str


class BoardAbout(_Body):
    """One board."""

    name: str
    title: str
    description: str
    rows: int = Field(description="Ranks that it has at most.")
    id_columns: list[str] = Field(description="The columns that make up the `id` of a row.")
    tie_rule: str
    topic: str = Field(description="Topic of its events.")
    columns: dict[str, ColumnAbout]
    seasons: list[str] | None = Field(description="Seasons with rows, newest first; null for a board of all time.")


class BoardsAnswer(_Body):
    """Every board."""

    boards: list[BoardAbout]


class MetricProof(_Body):
    """The newest reconciliation that compared a live metric."""

    run: str
    verdict: str = Field(description="MATCH, EXPLAINED, DIFFERENT or COULD_NOT_RUN.")
    finished_at: str


class MetricAnswer(_Body):
    """Rows of a live metric, in the order of their keys."""

    metric: str
    title: str
    since: str = Field(alias="from", description="First minute.")
    to: str = Field(description="First minute that is no more part of it.")
    read_at: str
    verified_by: MetricProof | None = Field(description="Null: never reconciled.")
    columns: dict[str, ColumnAbout]
    rows: list[dict[str, bool | Cell]] = Field(
        description="`final` is false while the minute can still change; `as_of` is the Kafka time of its newest event."
    )
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


class Ids(_Body):
    """Whose rows are wanted."""

    ids: list[str] = Field(max_length=MOST_IDS, description="Ids as `id` of a row; repeated ones count once.")


class ErasureAnswer(_Body):
    """How the erase of a player stands. It names nobody."""

    number: int = Field(description="Number of the request, as in `gamestream player requests`.")
    state: Literal["OPEN", "FINISHED"] = Field(description="OPEN: it waits or runs. FINISHED: the certificate is made.")
    requested_at: str
    suppressed_at: str | None = Field(description="From when on nothing writes values of the player any more.")
    finished_at: str | None
    certificate: EraseCertificate | None = Field(description="Null until the erasure is finished.")


class NotOnBoard(Standing):
    """The player or team has no row."""

    code: str
    message: str
