"""Plans a replay over any number of letters in bounded memory, and carries it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gamestream_dagster.dead_letters.book import Entry, page_for
from gamestream_dagster.dead_letters.fixes import FixFile
from gamestream_dagster.dead_letters.letter import DeadLetter
from gamestream_dagster.dead_letters.planning import Draft, Fate, IsSuppressed, draft, settled
from gamestream_dagster.dead_letters.selection import Selection
from gamestream_dagster.events.game_judge import GameEventJudge

PAGE_LETTERS: Final = 1000
PAGE_BYTES: Final = 16 << 20
MOST_BYTES: Final = 64 << 20
"""Most that the letters of one replay hold."""

OnProgress = Callable[[int, int], None]


def _nobody(_user_id: str) -> bool:
    return False


def _unheard(_passed: int, _all: int) -> None:
    return


class Reader(Protocol):
    """Where letters, the book and counted events come from (`reading.DeadLetterReader`)."""

    def letters(self, selection: Selection, on_progress: OnProgress) -> Iterator[DeadLetter]:
        """The letters that are meant."""
        ...

    def entries(self) -> Iterator[Entry]:
        """The book of replays."""
        ...

    def counted(self, event_ids: dict[str, str], since: int, on_progress: OnProgress) -> dict[str, str]:
        """Digests of counted events by identity."""
        ...


class Sender(Protocol):
    """What sends (`transaction.Replayer`)."""

    def replay(self, drafts: list[Draft], now: int) -> list[Entry]:
        """Send all or nothing."""
        ...


@dataclass
class ReplayPlan:
    """What a replay does."""

    sent: list[Draft] = field(default_factory=list[Draft])
    others: list[Draft] = field(default_factory=list[Draft])
    """Letters that stay dead, at most as many as the limit; `counts` has all."""
    counts: Counter[Fate] = field(default_factory=Counter[Fate])
    more: bool = False
    """The limit was reached: run it again for the rest."""

    @property
    def stay(self) -> int:
        """Letters that should have been replayed and are not."""
        return sum(count for fate, count in self.counts.items() if not fate.is_sent and fate is not Fate.REPLAYED)


@dataclass(frozen=True)
class Replay:
    """One replay of the letters that a selection means.

    Args:
        reader: the letters and the book.
        selection: which letters.
        fixes: None: they are replayed as they are.
        judge: the rule.
        clock: milliseconds since 1970.
        limit: most events that are sent. Letters that were replayed before, or that stay dead, do not use it up.
        is_suppressed: whether a player was erased.
    """

    reader: Reader
    selection: Selection
    fixes: FixFile | None
    judge: GameEventJudge
    clock: Callable[[], int]
    limit: int
    is_suppressed: IsSuppressed = _nobody

    def plan(self, on_progress: OnProgress = _unheard) -> ReplayPlan:
        """What would be done now.

        Raises:
            GamestreamError: Kafka does not return the records, or one of them is no dead letter.
        """
        plan = ReplayPlan()
        held = 0
        for page in _pages(self.reader.letters(self.selection, on_progress)):
            for one in self._first_look(page):
                if one.fate.is_sent and (len(plan.sent) >= self.limit or held > MOST_BYTES):
                    plan.more = True
                    break
                if one.fate.is_sent:
                    plan.sent.append(one)
                    held += one.letter.size + len(one.value or b"")
                else:
                    self._stays(plan, one)
            if plan.more:
                break
        if plan.sent:
            self._last_look(plan, on_progress)
        return plan

    def carry_out(self, sender: Sender, on_progress: OnProgress = _unheard) -> tuple[ReplayPlan, list[Entry]]:
        """Plan and send. The sender must have been opened before: from then on the book is this replay's alone.

        Raises:
            GamestreamError: nothing was replayed, unless it says otherwise.
        """
        plan = self.plan(on_progress)
        return plan, sender.replay(plan.sent, self.clock())

    def _first_look(self, letters: list[DeadLetter]) -> list[Draft]:
        now = self.clock()
        return self._settled([draft(one, self.fixes, self.judge, now) for one in letters], {})

    def _last_look(self, plan: ReplayPlan, on_progress: OnProgress) -> None:
        """Search for copies that were counted, and judge once more: the search may have taken minutes."""
        event_ids = {one.identity: one.event.event_id for one in plan.sent if one.event}
        since = min(one.letter.source_time for one in plan.sent)
        counted = self.reader.counted(event_ids, since, on_progress)
        now = self.clock()
        drafts = self._settled([draft(one.letter, self.fixes, self.judge, now) for one in plan.sent], counted)
        plan.sent = [one for one in drafts if one.fate.is_sent]
        plan.counts.update(one.fate for one in plan.sent)
        for one in drafts:
            if not one.fate.is_sent:
                self._stays(plan, one)

    def _settled(self, drafts: list[Draft], counted: dict[str, str]) -> list[Draft]:
        identities = {one.identity for one in drafts if one.event}
        page = page_for(self.reader.entries(), (one.letter for one in drafts), identities)
        return settled(drafts, page, counted, self.is_suppressed)

    def _stays(self, plan: ReplayPlan, one: Draft) -> None:
        plan.counts[one.fate] += 1
        if len(plan.others) < self.limit and one.fate is not Fate.REPLAYED:
            plan.others.append(replace(one, letter=replace(one.letter, payload=None)))  # bounded: no contents


def _pages(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    page: list[DeadLetter] = []
    held = 0
    for letter in letters:
        page.append(letter)
        held += letter.size
        if len(page) >= PAGE_LETTERS or held >= PAGE_BYTES:
            yield page
            page, held = [], 0
    if page:
        yield page
