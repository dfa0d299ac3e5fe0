"""What a replay would do with each letter, and what that would move. Pure: the time is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from gamestream_dagster.dead_letters.book import MAX_ATTEMPTS, Page, identity_of
from gamestream_dagster.dead_letters.errors import NoValueError
from gamestream_dagster.dead_letters.fixes import FixFile
from gamestream_dagster.dead_letters.letter import DeadLetter
from gamestream_dagster.dead_letters.records import Record
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameOutcome, GameReason, GameRefused
from gamestream_dagster.events.strict_json import bad_text, canonical

IsSuppressed = Callable[[str], bool]
"""Whether a player was erased. Such a player is never replayed."""


class Fate(StrEnum):
    """What a replay does with a letter. Only the first two are replayed."""

    ENRICHED = "enriched"  # accepted in time
    LATE = "late"  # accepted, but too late for boards and live metrics
    REFUSED = "refused"  # it would only become a dead letter again
    NOT_FIXED = "not_fixed"  # a fix does not work on it
    ID_CHANGED = "id_changed"  # the fix would make it another event
    ID_TAKEN = "id_taken"  # another event of the player has its id
    REPLAYED = "replayed"  # an earlier replay sent it
    GAVE_UP = "gave_up"  # it was replayed three times and refused each time
    SUPPRESSED = "suppressed"  # its player was erased

    @property
    def is_sent(self) -> bool:
        """Whether the event is replayed."""
        return self in {Fate.ENRICHED, Fate.LATE}


@dataclass(frozen=True, slots=True)
class Move:
    """What a replayed score adds to the boards."""

    user_id: str
    team_id: str
    points: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter with its fate. `value` and `event` are what would be sent; None where nothing would."""

    letter: DeadLetter
    fate: Fate
    said: str
    """A sentence about the fate."""
    value: bytes | None = None
    event: GameEvent | None = None
    attempt: int = 0
    """Of the replay that would be made, from 1."""
    changed: bool = False
    """Whether the fixes changed the record."""

    @property
    def identity(self) -> str:
        """Player and id of the event; empty where none would be sent."""
        return identity_of(self.event.user_id, self.event.event_id) if self.event else ""

    @property
    def move(self) -> Move | None:
        """What it adds to the boards: only a production score in time does."""
        event = self.event
        if event is None or self.fate is not Fate.ENRICHED or event.event_type != "score":
            return None
        if event.environment != "production" or event.user_id is None:
            return None
        properties: dict[str, Any] = orjson.loads(event.properties)
        return Move(event.user_id, properties["team_id"], properties["score"])


def draft(letter: DeadLetter, fixes: FixFile | None, judge: GameEventJudge, now: int) -> Draft:
    """Fix a letter and judge the result as the stream would if Kafka took it at `now` (milliseconds since 1970)."""
    document = judge.read(letter.payload)
    if not isinstance(document, dict):
        return _refused(letter, judge.judge(letter.payload, now))
    # A fixed record is sent as JSON, of which nothing is derived.
    document = judge.completed(document, letter.payload, letter.source_time)
    record = Record(judge.catalogue, document, letter)
    before = record.get(("event_id",))
    try:
        if fixes is not None:
            fixes.applied(record, letter)
    except NoValueError as error:
        return Draft(letter, Fate.NOT_FIXED, str(error))
    if record.get(("event_id",)) != before and letter.field != "event_id":
        said = "The fix changes event_id; a replay keeps it: take that step out of the file."
        return Draft(letter, Fate.ID_CHANGED, said)
    changed = record.document != document
    if changed and bad_text(record.document) is not None:
        return _refused(letter, judge.judge_document(record.document, letter.size, now))
    try:
        value = canonical(record.document) if changed else letter.payload
    except (TypeError, orjson.JSONEncodeError):
        return Draft(letter, Fate.NOT_FIXED, "The fixed record is nested too deeply; make it flatter.")
    outcome = judge.judge(value, now)
    if isinstance(outcome, GameRefused):
        return _refused(letter, outcome)
    if letter.reason == GameReason.DUP_CONFLICT.value and outcome.event_id == letter.event_id:
        return Draft(letter, Fate.ID_TAKEN, _CONFLICT)
    if outcome.late:
        said = "Accepted, but late: it goes to game-events-late, and no board counts it."
        return Draft(letter, Fate.LATE, said, value, outcome, changed=changed)
    return Draft(letter, Fate.ENRICHED, "Accepted.", value, outcome, changed=changed)


_CONFLICT: Final = (
    "Another event of the player has this id; give this one an id of its own with `set: {field: event_id, …}`."
)


def settled(
    drafts: Sequence[Draft], page: Page, taken: Mapping[str, str], is_suppressed: IsSuppressed = lambda _: False
) -> list[Draft]:
    """The fates after a look at what was replayed and counted before.

    Args:
        drafts: of one replay, in the order in which they would be sent.
        page: of the book, for these letters.
        taken: digests of events that the stream has counted, by identity.
        is_suppressed: whether a player was erased.
    """
    found: list[Draft] = []
    sent: dict[str, str] = dict(taken)  # digest by identity
    keys: set[str] = set()
    for one in drafts:
        if one.letter.key in keys:  # a job that read its topic again has written the letter again
            found.append(_kept(one, Fate.REPLAYED, "The letter is there twice; the first one is replayed."))
            continue
        keys.add(one.letter.key)
        made = _settled(one, page, sent, is_suppressed)
        if made.fate.is_sent and made.event is not None:
            sent[made.identity] = made.event.digest
        found.append(made)
    return found


def _settled(one: Draft, page: Page, sent: Mapping[str, str], is_suppressed: IsSuppressed) -> Draft:
    letter = one.letter
    earlier = page.replayed.get(letter.key)
    if earlier is not None:
        return _kept(one, Fate.REPLAYED, f"Replayed before, as {earlier.target} (attempt {earlier.attempt}).")
    players = {letter.user_id, one.event.user_id if one.event else None} - {None}
    if any(player is not None and is_suppressed(player) for player in players):
        return _kept(one, Fate.SUPPRESSED, "Its player was erased; it is never replayed.")
    attempts = page.attempt_of(letter)
    if attempts >= MAX_ATTEMPTS:
        return _kept(one, Fate.GAVE_UP, f"It was replayed {attempts} times and refused each time; it stays dead.")
    if not one.fate.is_sent or one.event is None:
        return one
    if one.identity in sent:
        same = sent[one.identity] == one.event.digest
        what = "The same event is counted, or replayed, already" if same else "Another event of the player has this id"
        return _kept(one, Fate.ID_TAKEN, f"{what}; a replay would count the id twice.")
    again = page.identities.get(one.identity)
    if again is not None and again.target != letter.source:
        said = f"An event of the player with this id was replayed as {again.target}; a replay would count it twice."
        return _kept(one, Fate.ID_TAKEN, said)
    return replace(one, attempt=attempts + 1)


def _kept(one: Draft, fate: Fate, said: str) -> Draft:
    return replace(one, fate=fate, said=said, value=None, event=None)


def _refused(letter: DeadLetter, outcome: GameOutcome) -> Draft:
    if not isinstance(outcome, GameRefused):  # a document that is no object is always refused
        raise TypeError("an accepted event is not refused")
    said = f"Still {outcome.reason.value}: {outcome.detail}."
    if outcome.reason is GameReason.TOO_OLD:
        said = f"{said[:-1]}; history does not go through the stream."
    return Draft(letter, Fate.REFUSED, said)


@dataclass(frozen=True)
class Preview:
    """What a replay would move on the boards."""

    players: Mapping[str, int]
    """Points by player."""
    teams: Mapping[str, int]
    """Points by team."""
    events: int
    """Scores that count."""


def preview(drafts: Iterable[Draft]) -> Preview:
    """Sum the moves."""
    moves = [move for move in (one.move for one in drafts) if move is not None]
    players: dict[str, int] = {}
    teams: dict[str, int] = {}
    for move in moves:
        players[move.user_id] = players.get(move.user_id, 0) + move.points
        teams[move.team_id] = teams.get(move.team_id, 0) + move.points
    return Preview(_largest_first(players), _largest_first(teams), len(moves))


def _largest_first(points: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(points.items(), key=lambda one: (-one[1], one[0])))
