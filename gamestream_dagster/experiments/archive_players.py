"""Players from the archive: exposures and events of `game-events-raw`, each counted once, before a cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from gamestream_dagster.catalogue.game_event import GameCatalogue, load_game_events
from gamestream_dagster.catalogue.sources import source_named, stack_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.experiments.errors import PlanError, PlayersError
from gamestream_dagster.experiments.moments import Place, arms_of, places_of
from gamestream_dagster.experiments.plan import Metric, MetricKind, Plan
from gamestream_dagster.experiments.sample import Sample
from gamestream_dagster.experiments.statements import statement
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.settings import Settings

EXPOSURE: Final = "experiment_exposure"
_NUMBERS: Final = frozenset({"integer", "number", "decimal"})
_LONGEST: Final = 2**60
"""Milliseconds; longer than any event's age."""
_NO_PROPERTY: Final = '$."."'


@dataclass(frozen=True)
class ArchivePlayers:
    """The players before a cut of an opened archive."""

    archive: ArchiveDatabase
    at: EventsAt

    def sample(self, plan: Plan) -> Sample:
        """The arms of a plan: assigned by first exposure, with what they did afterwards.

        Raises:
            PlanError: a metric names no event type, or a property that is no number.
            PlayersError: nobody was exposed, or somebody to a variant that the plan does not have.
        """
        _check(plan, load_game_events())
        exposure = plan.exposure
        self._run(
            "archive_assigned",
            experiment=plan.experiment,
            first=_millis(exposure.since, 0),
            after=_millis(exposure.until, _LONGEST),
        )
        self._refuse_unknown(plan)
        last = self.as_of_millis - (exposure.window or 0)
        (left_out,) = self._run("archive_counts", last_exposure=last)
        places = places_of(list(plan.metrics), _with_before(plan))
        self._measure(plan, places)
        given = {"places": _how(plan, places)}
        self.archive.query(self.at, statement("archive_players"), given, last_exposure=last)
        moments = [tuple(row.values()) for row in self._run("moments")]
        arms = arms_of(plan, places, moments, self._covariances(places))
        return Sample(arms, left_out["crossovers"], left_out["waiting"])

    @property
    def as_of_millis(self) -> int:
        """How far the archive goes: the newest Kafka timestamp before the cut, milliseconds; 0 of an empty one."""
        (row,) = self._run("archive_as_of")
        return row["as_of"] or 0

    @property
    def as_of(self) -> datetime:
        """The same as a time."""
        return datetime.fromtimestamp(self.as_of_millis / 1000, UTC)

    def digests(self) -> dict[int, dict[str, Any]]:
        """What the archive holds before the cut, by partition."""
        return {row.pop("partition"): row for row in self._run("archive_digest")}

    def _run(self, name: str, **values: int | str) -> list[dict[str, Any]]:
        return self.archive.query(self.at, statement(name), **values)

    def _refuse_unknown(self, plan: Plan) -> None:
        found = {row["variant"]: row["players"] for row in self._run("archive_variants")}
        if not found:
            raise PlayersError(
                f"The archive of {RAW_TOPIC} has no exposure to {plan.experiment!r} that counts",
                "see that the game sends `experiment_exposure`, then run `gamestream archive`",
            )
        if unknown := sorted(found.keys() - plan.variants.keys()):
            raise PlayersError(
                f"{found[unknown[0]]:,} players of {plan.experiment!r} were exposed to {unknown[0]!r}, the plan has "
                f"{', '.join(plan.variants)}",
                "correct `variants` before you look at results, or begin later with `exposure.from`",
            )

    def _measure(self, plan: Plan, places: list[Place]) -> None:
        self._run("archive_measures")
        exposure = plan.exposure
        for one in places:
            metric = plan.metrics[one.metric]
            self._measure_one(metric, one.place, 1, exposure.window or _LONGEST)
            if one.before is not None:
                self._measure_one(metric, one.before, -(exposure.pre_period or 0), -1)

    def _measure_one(self, metric: Metric, place: int, from_millis: int, to_millis: int) -> None:
        self._run(
            "archive_measured",
            place=place,
            event=metric.event or "",
            property=f'$."{metric.sum}"' if metric.sum else _NO_PROPERTY,
            from_millis=from_millis,
            to_millis=to_millis,
        )

    def _covariances(self, places: list[Place]) -> list[tuple[Any, ...]]:
        pairs = [(one.place, one.before) for one in places if one.before is not None]
        if not pairs:
            return []
        table = pa.table({"place": [place for place, _ in pairs], "before": [before for _, before in pairs]})
        found = self.archive.query(self.at, statement("archive_covariances"), {"pairs": table})
        return [tuple(row.values()) for row in found]


@contextmanager
def archived_players(
    settings: Settings, *, chapter: int | None = None, cut: Mapping[int, int] | None = None
) -> Iterator[ArchivePlayers]:
    """The players of a stack's archive.

    Args:
        settings: the stack.
        chapter: place of the archive's chapter; default the newest one.
        cut: next offset by partition; default: as far as the archive goes.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    source = source_named(RAW_TOPIC, stack_sources(settings))
    with open_recompute(settings, source, chapter=chapter) as archive:
        yield ArchivePlayers(archive, archive.at(archive.chapter.archived_upto if cut is None else cut))


def _with_before(plan: Plan) -> set[str]:
    if plan.exposure.pre_period is None:
        return set()
    return {name for name, metric in plan.metrics.items() if metric.kind is MetricKind.MEAN}


def _how(plan: Plan, places: list[Place]) -> Any:
    """What the number of each place is, as a relation."""
    listed: list[tuple[int, str]] = []
    for one in places:
        metric = plan.metrics[one.metric]
        how = "any" if metric.kind is MetricKind.PROPORTION else "sum" if metric.sum else "count"
        listed += [(one.place, how), *([(one.before, how)] if one.before is not None else [])]
    return pa.table({"place": [place for place, _ in listed], "how": [how for _, how in listed]})


def _check(plan: Plan, catalogue: GameCatalogue) -> None:
    fix = "name one in the plan (`gamestream events types` lists them)"
    for name, metric in plan.metrics.items():
        if metric.event is None:
            raise PlanError(f"`metrics.{name}` has no `event`, so the archive cannot measure it", fix)
        kind = catalogue.types.get(metric.event)
        if kind is None:
            raise PlanError(f"`metrics.{name}.event` is {metric.event!r}, which is no event type", fix)
        if metric.sum is None:
            continue
        found = kind.properties.get(metric.sum)
        numbers = [one for one, field in kind.properties.items() if field.type.value in _NUMBERS]
        if found is None or metric.sum not in numbers:
            raise PlanError(
                f"`metrics.{name}.sum` is {metric.sum!r}, which is no number of {metric.event}",
                f"its numbers are: {', '.join(numbers) or 'none'}",
            )


def _millis(moment: datetime | None, default: int) -> int:
    return default if moment is None else round(moment.timestamp() * 1000)
