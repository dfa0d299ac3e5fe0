"""Why the job's own result differs: hypotheses about the events of single players and teams.

First the rows that are wrong by themselves: each guess of each cause for all of them at once, then pairs of causes.
Then those that are right but stand elsewhere, or not at all: they may follow from the first, or have an own cause.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gamestream_dagster.reconciliation.causes.evidence import Evidence
from gamestream_dagster.reconciliation.causes.hypothesis import Hypothesis, pairs, unwrapped
from gamestream_dagster.reconciliation.causes.trial import Place, Trial, by_itself, same_place
from gamestream_dagster.reconciliation.causes.witness import past_values
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.model.order import beats, order_value
from gamestream_dagster.reconciliation.model.values import Cause, Causes, Difference, DifferenceKind, Entity

EVENTS_SHOWN = 20
POSSIBLE_SHOWN = 3
"""Selections that are listed of a row that stays unexplained."""

MOVED_BY = "moved_by"
"""Name in the evidence of the rows whose change moved this one: it has no cause of its own."""

GUESSING_SECONDS = 120.0
"""How long guesses are tried for one board; what is not explained by then stays so, and says why."""

_NOTHING = Hypothesis(())
_NAMED_BY_LEDGER = (Cause.MISSING_EVENTS, Cause.RESTORED_FROM_OLD_STATE)


@dataclass
class JobSide:
    """Explains the differences of one board in one sink."""

    trial: Trial
    evidence: Evidence
    topic: str
    found: dict[Place, list[Hypothesis]] = field(default_factory=dict[Place, list[Hypothesis]])
    """By row the guesses that make it right; one for each cause, all of the same size."""
    background: dict[Entity, Hypothesis] = field(default_factory=dict[Entity, Hypothesis])
    """What is supposed about others, who are not on the board and need not be."""
    ambiguous: dict[Place, list[Hypothesis]] = field(default_factory=dict[Place, list[Hypothesis]])
    """By row guesses of one cause that all make it right, though at most one of them can be so."""
    deadline: float = field(default_factory=lambda: time.monotonic() + GUESSING_SECONDS)
    out_of_time: bool = False
    """Guesses were left untried."""

    def explain(self, differences: Sequence[Difference]) -> list[Difference]:
        """The differences, with causes and evidence where there are any."""
        explained = [self._tie(one, differences) for one in differences]
        open_ones = [one for one in explained if one.unexplained]
        entities = list(dict.fromkeys(one.entity for one in open_ones if one.entity is not None))
        if not entities:
            return explained
        families = self.evidence.families(entities)
        wrong = [(one.entity, one.rank) for one in open_ones if by_itself(one) and one.entity is not None]
        about = self.trial.about(list(dict.fromkeys(entity for entity, _ in wrong)))
        right = about.right(dict.fromkeys(wrong, _NOTHING))  # they only stand where they should not
        self._find(about, {place: families[place[0]] for place in dict.fromkeys(wrong) if place not in right})
        self._find_late(open_ones)
        if any(place not in right and place not in self.found for place in wrong):
            return self._told(explained)  # who is absent may have made room for a row that nobody understands
        absent = [
            one.entity
            for one in open_ones
            if one.kind is DifferenceKind.MISSING
            and one.entity is not None
            and not self._has((one.entity, one.rank), Cause.LATE)
        ]
        self._find_absent({entity: self._taking(families[entity]) for entity in dict.fromkeys(absent)}, open_ones)
        return self._told(explained)

    def _taking(self, families: Mapping[Cause, Sequence[Hypothesis]]) -> dict[Cause, list[Hypothesis]]:
        """The guesses that can take somebody off the board; of a window only those that leave out events.

        Almost anything that is counted besides would move a ratio: that it fits says nothing.
        """
        if self.trial.board.window is None:
            return {cause: list(guesses) for cause, guesses in families.items()}
        return {cause: [one for one in guesses if not one.added] for cause, guesses in families.items()}

    def _find(self, trial: Trial, families: Mapping[Place, Mapping[Cause, Sequence[Hypothesis]]]) -> None:
        """Guesses of one cause for every row; pairs for those that no single cause explains."""
        self._try(trial, {place: guesses.get(Cause.LATE, ()) for place, guesses in families.items()})
        for cause in sorted(Cause, key=lambda one: one not in _NAMED_BY_LEDGER):
            if cause is not Cause.LATE:  # what the window does by design needs no fault to explain it
                late = {place for place in self.found if self._has(place, Cause.LATE)}
                self._try(
                    trial, {place: guesses.get(cause, ()) for place, guesses in families.items() if place not in late}
                )
        left = {place: pairs(guesses) for place, guesses in families.items() if self._unknown(place)}
        for causes in dict.fromkeys(one.causes for guesses in left.values() for one in guesses):
            self._try(
                trial, {place: [one for one in guesses if one.causes == causes] for place, guesses in left.items()}
            )

    def _try(self, trial: Trial, guesses: Mapping[Place, Sequence[Hypothesis]]) -> None:
        """Keep the guess that makes a row right: the n-th guesses of all rows in one go.

        A guess that is one of several selections must be the only one of its size or smaller that does; they come
        smallest first. Two rows of one entity are tried one after the other: both are made of the same events.
        """
        fitting: dict[Place, list[Hypothesis]] = defaultdict(list)
        turns: dict[Entity, list[Place]] = defaultdict(list)
        for place in guesses:
            turns[place[0]].append(place)
        for turn in range(max(map(len, turns.values()), default=0)):
            mine = {places[turn]: guesses[places[turn]] for places in turns.values() if turn < len(places)}
            for number in range(max(map(len, mine.values()), default=0)):
                now = {
                    place: listed[number]
                    for place, listed in mine.items()
                    if number < len(listed) and _still_open(fitting[place], listed[number])
                }
                if now and self._late():
                    return
                for place in trial.right(now) if now else ():
                    fitting[place].append(now[place])
        for place, fits in fitting.items():
            if len({one.story for one in fits}) == 1 and fits[0].borne_out:
                self.found.setdefault(place, []).append(fits[0])
            elif fits:
                self.ambiguous.setdefault(place, []).extend(fits)

    def _find_late(self, differences: Sequence[Difference]) -> None:
        """Whoever would be on the board but for events that came too late for its window, all at once."""
        on_board = {entity_of(self.trial.board, row) for row in self.trial.rows}
        others = {e: one for e, one in self.evidence.late_for_the_window().items() if e not in on_board}
        missing = [one for one in differences if one.kind is DifferenceKind.MISSING and one.entity in others]
        if not missing:
            return
        self.background = others
        still = self._still_absent({})
        for one in missing:
            if one.entity is not None and one.entity not in still:
                self.found.setdefault((one.entity, one.rank), []).append(others[one.entity])

    def _find_absent(
        self, families: Mapping[Entity, Mapping[Cause, Sequence[Hypothesis]]], differences: Sequence[Difference]
    ) -> None:
        """Guesses for those who should be on the board: the guess must take them off it.

        Many a selection would, so only what the evidence gives without a choice is tried; of late events all of them.
        """
        families = {
            entity: {
                cause: [guesses[-1]]
                if cause is Cause.LATE and guesses
                else [one for one in guesses if not one.chosen and one.borne_out]
                for cause, guesses in by_cause.items()
            }
            for entity, by_cause in families.items()
        }
        if not families:
            return
        missing = {one.entity: one for one in differences if one.kind is DifferenceKind.MISSING}
        still = self._still_absent({})
        for cause in sorted(Cause, key=lambda one: one is not Cause.LATE):  # what is so by design first
            for place in range(max((len(one.get(cause, ())) for one in families.values()), default=0)):
                now = {
                    entity: guesses[cause][place]
                    for entity, guesses in families.items()
                    if entity in still
                    and place < len(guesses.get(cause, ()))
                    and not self._has((entity, missing[entity].rank), cause)
                    and not self._has((entity, missing[entity].rank), Cause.LATE)
                }
                if not now:
                    continue
                if self._late():
                    return
                if cause is Cause.OVERFLOW:
                    off = {entity for entity in now if self._wraps_away(missing[entity])}
                else:
                    off = now.keys() - self._still_absent(now)
                for entity in off:
                    self.found.setdefault((entity, missing[entity].rank), []).append(now[entity])

    def _late(self) -> bool:
        self.out_of_time = self.out_of_time or time.monotonic() > self.deadline
        return self.out_of_time

    def _has(self, place: Place, cause: Cause) -> bool:
        return any(one.causes == (cause,) for one in self.found.get(place, ()))

    def _still_absent(self, extra: Mapping[Entity, Hypothesis]) -> set[Entity | None]:
        left = self.trial.differences(self._chosen() | dict(extra))
        return {one.entity for one in left if one.kind is DifferenceKind.MISSING}

    def _wraps_away(self, difference: Difference) -> bool:
        """Whether a wrapped total would keep the row off the board."""
        row: Any = difference.recomputed
        board = self.trial.board
        if not board.ranked:
            return False
        last = max(self.trial.rows, key=lambda one: one[board.rank_column], default=None)
        term = board.order[0]
        if last is None or not isinstance(row, dict) or term.column not in row or not term.descending:
            return False
        total = cast("object", row[term.column])
        if not isinstance(total, int):
            return False
        wrapped = (total + 2**31) % 2**32 - 2**31
        return unwrapped(wrapped, total, total) is not None and wrapped < order_value(board, term.column, last)

    def _chosen(self) -> dict[Entity, Hypothesis]:
        return dict(self.background) | {entity: guesses[0] for (entity, _), guesses in self.found.items()}

    def _told(self, differences: Sequence[Difference]) -> list[Difference]:
        told: list[Difference] = []
        chosen = self._chosen()
        left = {same_place(one) for one in self.trial.differences(chosen)} if chosen else None
        for one in differences:
            guesses = self._certain(one)
            if not one.unexplained:
                told.append(one)
            elif guesses:
                told.append(self._with_events(one, guesses))
            elif self._left_behind(one):
                told.append(replace(one, alternatives=((Cause.STALE_ROW,),)))
            elif left is not None and self._follows(one, left, chosen):
                causes = self._all_causes(chosen)
                movers = [f"#{rank} {' / '.join(entity)}" for entity, rank in self.found][:EVENTS_SHOWN]
                told.append(replace(one, alternatives=causes, evidence={MOVED_BY: movers}))
            elif self.out_of_time:
                left_out = f"not every guess was tried: {GUESSING_SECONDS:.0f} s were over"
                told.append(replace(one, evidence={**one.evidence, "looked_for": left_out}))
            else:
                told.append(self._possible(one))
        return told

    def _unknown(self, place: Place) -> bool:
        return place not in self.found and place not in self.ambiguous

    def _certain(self, difference: Difference) -> Sequence[Hypothesis]:
        """The guesses that are causes: where each is a selection of records there must be one alone."""
        if difference.entity is None:
            return ()
        place = difference.entity, difference.rank
        found = self.found.get(place, [])
        rivals = len(found) + len(self.ambiguous.get(place, ()))
        if rivals > 1 and all(one.chosen for one in found):
            return ()
        return found

    def _possible(self, difference: Difference) -> Difference:
        """A difference that nobody understands, with what could be its cause but is not borne out."""
        if difference.entity is None:
            return difference
        place = difference.entity, difference.rank
        fits = [*self.found.get(place, ()), *self.ambiguous.get(place, ())]
        if not fits:
            return difference
        possible = [
            {"causes": list(one.causes), "events": [event.evidence(self.topic) for event in one.events[:EVENTS_SHOWN]]}
            for one in fits[:POSSIBLE_SHOWN]
        ]
        looked_for = (
            f"{len(fits)} selections of records fit, and nothing tells which it was"
            if len(fits) > 1
            else "these records fit, but the job's own count does not bear them out"
        )
        return replace(difference, evidence={**difference.evidence, "possible": possible, "looked_for": looked_for})

    def _left_behind(self, difference: Difference) -> bool:
        """A superfluous row with the values of an earlier cut: nobody deleted it."""
        board = self.trial.board
        row = next(
            (row for row in self.trial.rows if self.trial.place(row) == (difference.entity, difference.rank)), None
        )
        if row is None or difference.rank is None or board.window is not None:
            return False
        twice = [1 for one in self.trial.rows if entity_of(board, one) == difference.entity]
        if len(twice) < 2 and 1 <= difference.rank <= board.rows:
            return False
        past = past_values(self.trial.archive, self.trial.at, board, self.trial.job_boards, [row])
        return past.get(entity_of(board, row)) is True

    def _follows(
        self, difference: Difference, left: set[tuple[object, ...]], chosen: Mapping[Entity, Hypothesis]
    ) -> bool:
        """Whether the difference goes away with the others, so that it has no cause of its own."""
        if difference.kind is DifferenceKind.STALE:  # of no row: a board that stands still needs a cause of its own
            return False
        if same_place(difference) not in left:
            return True
        # A wrapped total stands in the order of the wrapped values: the recompute cannot show that order.
        wrapped = any(one.wrapped for one in chosen.values())
        return wrapped and difference.kind is DifferenceKind.RANK

    @staticmethod
    def _all_causes(chosen: Mapping[Entity, Hypothesis]) -> tuple[Causes, ...]:
        named = {cause for one in chosen.values() for cause in one.causes}
        return (tuple(cause for cause in Cause if cause in named),)

    def _with_events(self, difference: Difference, guesses: Sequence[Hypothesis]) -> Difference:
        first = guesses[0]
        evidence: dict[str, Any] = {
            "events": [event.evidence(self.topic) for event in first.events[:EVENTS_SHOWN]],
            "events_total": len(first.events),
            **first.facts,
        }
        if len(guesses) > 1:
            evidence["also_possible"] = [{"causes": list(one.causes), **one.facts} for one in guesses[1:]]
        alternatives = tuple(dict.fromkeys(one.causes for one in guesses))
        return replace(difference, alternatives=alternatives, evidence=evidence)

    def _tie(self, difference: Difference, differences: Sequence[Difference]) -> Difference:
        """A row that is in the wrong mutual order with another one, although all but the last term is equal."""
        board = self.trial.board
        if difference.kind is not DifferenceKind.RANK or len(board.order) < 2:
            return difference
        rank = board.rank_column
        mine = next((row for row in self.trial.rows if entity_of(board, row) == difference.entity), None)
        others = {one.entity for one in differences if one.kind is DifferenceKind.RANK} - {difference.entity}
        if mine is None:
            return difference
        for row in self.trial.rows:
            if entity_of(board, row) not in others or not all(
                order_value(board, term.column, row) == order_value(board, term.column, mine)
                for term in board.order[:-1]
            ):
                continue
            upper, lower = (row, mine) if row[rank] < mine[rank] else (mine, row)
            if beats(board, lower, upper):
                facts = {"same_values_as": " / ".join(entity_of(board, row))}
                return replace(difference, alternatives=((Cause.TIE_ORDER,),), evidence=facts)
        return difference


def _still_open(fits: Sequence[Hypothesis], guess: Hypothesis) -> bool:
    """Whether a guess can still matter: none fits yet, or it is another selection of the same size."""
    return not fits or (fits[0].chosen and guess.chosen and len(guess.events) == len(fits[0].events))
