"""Rules over a stretch of the past: what would have fired, and how that compares with the incidents that there were.

Pure: the samples are given. `monitoring/history.py` reads them from what the stack keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.look import Key, look
from gamestream_dagster.alerts.machine import Standing
from gamestream_dagster.alerts.rules import Book
from gamestream_dagster.alerts.samples import Sample, Timeline
from gamestream_dagster.alerts.store import Change

STEP_SECONDS: Final = 60.0
MOST_STEPS: Final = 60 * 24 * 92
GRACE_SECONDS: Final = 900.0
"""An alert may come this much after the end of an incident, and still be about it: averages follow."""


@dataclass(frozen=True)
class Episode:
    """One alert from its beginning to its end; epoch seconds. `ended_at` is None when it still stood at the end."""

    rule: str
    alert_id: str
    began_at: float
    ended_at: float | None
    message: str


class Incident(BaseModel):
    """Something that did happen, and the rules of which one should have told people."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(min_length=1)
    rules: tuple[str, ...] = Field(min_length=1)
    began_at: AwareDatetime = Field(alias="from")
    ended_at: AwareDatetime = Field(alias="to")

    @model_validator(mode="after")
    def _forwards(self) -> Incident:
        if self.ended_at <= self.began_at:
            raise ValueError("`to` is not after `from`")
        return self

    def explains(self, episode: Episode) -> bool:
        """Whether an episode is about it: of one of its rules, and it began while the incident lasted."""
        within = self.began_at.timestamp() <= episode.began_at <= self.ended_at.timestamp() + GRACE_SECONDS
        return episode.rule in self.rules and within


@dataclass(frozen=True)
class Score:
    """How well the episodes match the incidents."""

    told: tuple[Incident, ...]
    missed: tuple[Incident, ...]
    false: tuple[Episode, ...]
    """Episodes that no incident explains."""
    episodes: int

    @property
    def precision(self) -> float | None:
        """Share of the episodes that an incident explains; None without any."""
        return (self.episodes - len(self.false)) / self.episodes if self.episodes else None

    @property
    def recall(self) -> float | None:
        """Share of the incidents that people were told of; None without any."""
        incidents = len(self.told) + len(self.missed)
        return len(self.told) / incidents if incidents else None


def backtest(book: Book, samples: Iterable[Sample], since: float, upto: float) -> list[Episode]:
    """Evaluate each minute what the rules would have said.

    Args:
        book: the rules to try; those whose series have no samples never fire.
        samples: of the stretch and, for what looks back, before it; `at` on whole minutes.
        since: first evaluation, epoch seconds.
        upto: last one.

    Raises:
        RuleError: the stretch is longer than three months.
    """
    steps = int((upto - since) // STEP_SECONDS)
    if steps > MOST_STEPS:
        raise RuleError("The stretch", "longer than 92 days", "choose --from and --to closer together")
    timeline = Timeline(samples, STEP_SECONDS)
    states: dict[Key, Standing] = {}
    open_: dict[Key, Episode] = {}
    done: list[Episode] = []
    for step in range(steps + 1):
        at = since + step * STEP_SECONDS
        found = look(book, timeline, {}, states, at)
        states = {one.key: one.standing for one in found if not one.has_ended}
        for one in found:
            if one.change is Change.RAISED:
                open_[one.key] = Episode(one.rule.name, one.alert_id, at, None, one.message)
            elif one.change is Change.CLEARED:
                begun = open_.pop(one.key)
                done.append(Episode(begun.rule, begun.alert_id, begun.began_at, at, begun.message))
    return sorted([*done, *open_.values()], key=lambda one: (one.began_at, one.alert_id))


def score(episodes: Sequence[Episode], incidents: Sequence[Incident]) -> Score:
    """Compare. One episode may be about several incidents, and several about one."""
    told = tuple(one for one in incidents if any(one.explains(episode) for episode in episodes))
    return Score(
        told=told,
        missed=tuple(one for one in incidents if one not in told),
        false=tuple(one for one in episodes if not any(incident.explains(one) for incident in incidents)),
        episodes=len(episodes),
    )


def incidents_of(content: Any, where: str, book: Book) -> list[Incident]:
    """The incidents of a file: a list of `name`, `rules`, `from`, `to`.

    Raises:
        RuleError: an entry is wrong, or names a rule that does not exist.
    """
    if not isinstance(content, list):
        raise RuleError(where, "no list", "write an incident as `- {name: ..., rules: [...], from: ..., to: ...}`")
    found: list[Incident] = []
    for position, entry in enumerate(content, start=1):
        try:
            incident = Incident.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "entry"
            raise RuleError(f"{where}, incident {position}", f"{field}: {first['msg']}", "correct it") from error
        for rule in incident.rules:
            book.rule(rule)
        found.append(incident)
    return found


def untried(book: Book, series: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Rules with a condition, and which of their series there is no past of; empty: it can be tried."""
    known = set(series)
    return {
        rule.name: tuple(name for name in rule.parsed.series if name not in known)
        for rule in book.rules
        if rule.condition
    }
