"""Settles days: computes a metric from the archive and other settled days, and publishes its rows.

A day of a metric that reads events is settled only when the archive is complete for it, whoever asks. The file with the
rows is written first; the day is settled at the commit that puts the rows into Postgres and names the file. A run that
is killed before leaves a file that nobody reads, and the next one removes it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.catalogue.metrics import Metric, load_metrics
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.events.suppression import load_suppression
from gamestream_dagster.metrics.completeness import Completeness, day_completeness
from gamestream_dagster.metrics.compute import Computed, MetricsDatabase
from gamestream_dagster.metrics.errors import (
    BeforeFirstEventError,
    CheckFailedError,
    DayNotCompleteError,
    NotSettledError,
)
from gamestream_dagster.metrics.model import NewVersion, Reason, Settled, Settlement
from gamestream_dagster.metrics.source import game_source
from gamestream_dagster.metrics.store import MOST_CAUSES, SettledStore, open_store
from gamestream_dagster.settings import Settings

IsComplete = Callable[[date], Completeness]


def metrics_dir(settings: Settings) -> Path:
    """Folder of the settled days' files: `<metric>/<day>/<name>.parquet`."""
    return settings.home / "metrics"


@contextmanager
def open_settler(
    settings: Settings, metrics: Mapping[str, Metric] | None = None, is_complete: IsComplete | None = None
) -> Iterator[Settler]:
    """Whoever settles days of a stack. It reads the archive as it is at the first use, for all that it settles.

    Args:
        settings: the stack.
        metrics: all of them; default: the project's.
        is_complete: whether a day is complete; default: Kafka is asked.
    """
    folder = metrics_dir(settings)
    source = game_source(settings)
    spill = settings.home / "tmp" / "metrics"
    spill.mkdir(parents=True, exist_ok=True)
    found = load_metrics() if metrics is None else metrics
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=spill)))
        store = stack.enter_context(open_store(settings))
        devices = Tables(settings.enrichment_dir).devices
        database = stack.enter_context(
            MetricsDatabase(settings.archive_dir / source.topic, source, scratch / "spill", devices)
        )
        yield Settler(
            found,
            folder=folder,
            scratch=scratch,
            store=store,
            database=database,
            is_complete=is_complete or (lambda day: day_completeness(settings, source, day)),
            erased=bool(load_suppression(settings)),
        )


@dataclass(frozen=True)
class _Inputs:
    """Settled days that a day is computed from."""

    files: dict[str, dict[date, Path]]
    versions: dict[str, dict[date, int]]


class Settler:
    """Settles days of metrics.

    Args:
        metrics: all of them, in the order of computation.
        folder: of the files.
        scratch: folder for temporary files.
        store: the tables.
        database: DuckDB over the archive.
        is_complete: whether a day is complete.
        erased: players were erased, so that a day can have other rows than before.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        *,
        folder: Path,
        scratch: Path,
        store: SettledStore,
        database: MetricsDatabase,
        is_complete: IsComplete,
        erased: bool = False,
    ) -> None:
        self._erased = erased
        self.metrics = metrics
        self.store = store
        self._folder = folder
        self._scratch = scratch
        self._database = database
        self._is_complete = is_complete
        self._first: date | None = None
        self._complete: dict[date, Completeness] = {}
        database.declare(metrics)

    def days_with_events(self) -> dict[date, int]:
        """Days of the archive that have events, with their number."""
        return self._database.days_with_events()

    def settle(self, metric: Metric, day: date) -> Settlement:
        """Settle one day of one metric, again if it was settled before: equal rows keep their version.

        Raises:
            DayNotCompleteError: the archive may still lack events of the day.
            BeforeFirstEventError: the archive begins later.
            NotSettledError: a day that it is computed from is not settled.
            CheckFailedError: a day that it is computed from breaks a check.
            MetricBusyError: another run settles it.
            MetricError, ArchiveError, ServiceError: it could not be computed or published; nothing changed.
        """
        started = time.monotonic()
        with self.store.alone(metric.name, day):
            complete = self._completeness(day) if metric.reads_events else None
            self._check_begun(day)
            before = next(iter(self.store.newest([metric.name], day, day)), None)
            inputs = self._inputs(metric, day)
            self._remove_leftovers(metric, day, before)
            name = f"{metric.name}/{day}/{uuid.uuid4().hex}.parquet"
            computed = self._database.compute(metric, day, inputs.files, self._folder / name)
            new = self._version(metric, day, before, computed=computed, inputs=inputs, file=name, complete=complete)
            csv = self._scratch / "rows.csv"
            try:
                self._database.write_csv(metric, computed.path, csv)
                self.store.publish(metric, new, csv)
            finally:
                csv.unlink(missing_ok=True)
            self._remove_leftovers(metric, day, None, keep=name)
        changed = before is None or before.version != new.version
        return Settlement(
            metric=metric.name,
            day=day,
            version=new.version,
            changed=changed,
            reason=new.reason,
            rows=new.rows,
            late_events=new.late_events if changed else 0,
            checks=computed.checks,
            seconds=time.monotonic() - started,
        )

    def first_day(self) -> date | None:
        """The first day with an event; days before it have no rows, and need not be settled. None: no events at all."""
        if self._first is None:
            self._first = min(self.days_with_events(), default=None)
        return self._first

    def _completeness(self, day: date) -> Completeness:
        found = self._complete.get(day)
        if found is None:
            found = self._complete[day] = self._is_complete(day)
        found.check()
        read = self._database.upto.offsets  # perhaps before it was complete
        if any(read.get(partition, 0) < at for partition, at in (found.needed or {}).items()):
            raise DayNotCompleteError(f"{day} became complete after the archive was read", "try again")
        return found

    def _check_begun(self, day: date) -> None:
        begins = self.first_day()
        if begins is None:
            raise BeforeFirstEventError("The archive has no game event", "run `gamestream archive`, then try again")
        if day < begins:
            raise BeforeFirstEventError(
                f"{day} is before the first event of the archive, which is of {begins}", "settle days from then on"
            )

    def _inputs(self, metric: Metric, day: date) -> _Inputs:
        files: dict[str, dict[date, Path]] = {}
        versions: dict[str, dict[date, int]] = {}
        begins = self.first_day() or day
        for name in metric.upstream:
            days = metric.days_of(name, day, begins)
            settled = {one.day: one for one in self.store.newest([name], days[0], day)}
            for at in days:
                found = settled.get(at)
                again = f"settle it with `gamestream metrics backfill --from {at} --to {day}`"
                if found is None:
                    raise NotSettledError(f"{metric.name} of {day} needs {name} of {at}, which is not settled", again)
                self._check_holds(name, found)
                path = self._folder / found.file
                if not path.is_file() or sha256_of(path) != found.file_sha256:
                    raise NotSettledError(f"The file {found.file} of {name} of {at} is gone or was changed", again)
                files.setdefault(name, {})[at] = path
                versions.setdefault(name, {})[at] = found.version
        return _Inputs(files, versions)

    def _check_holds(self, name: str, settled: Settled) -> None:
        broken = [check for check in settled.failed_checks if self.metrics[name].blocks(check)]
        if broken:
            raise CheckFailedError(
                f"{name} of {settled.day} breaks its check {broken[0]}, so nothing is computed from it",
                f"see `gamestream metrics show {name} --day {settled.day}`, mend it, and settle that day again",
            )

    def _version(
        self,
        metric: Metric,
        day: date,
        before: Settled | None,
        *,
        computed: Computed,
        inputs: _Inputs,
        file: str,
        complete: Completeness | None,
    ) -> NewVersion:
        """What is recorded: the version before where the rows are the same, else the next one with its reason."""
        upto = self._database.upto if metric.reads_events else None
        late, causes = before.late_events if before is not None else 0, ()
        if before is None:
            version, reason = 1, Reason.FIRST
        elif before.digest == computed.digest:
            version, reason = before.version, before.reason
        else:
            version, late = before.version + 1, 0
            reason = Reason.INPUTS if before.inputs != inputs.versions else Reason.DEFINITION
            if reason is Reason.DEFINITION and self._erased and before.fingerprint == metric.fingerprint:
                reason = Reason.ERASED
            if metric.reads_events and before.upto is not None:
                late, found = self._database.causing_events(day, before.upto, MOST_CAUSES)
                causes = tuple(found)
                reason = Reason.LATE_EVENTS if late else reason
        return NewVersion(
            metric=metric.name,
            day=day,
            version=version,
            reason=reason,
            rows=computed.rows,
            digest=computed.digest,
            fingerprint=metric.fingerprint,
            file=file,
            file_sha256=sha256_of(computed.path),
            upto=upto,
            complete_at=None if complete is None else complete.needed,
            inputs=inputs.versions,
            late_events=late,
            causes=causes,
            failed_checks=tuple(one.name for one in computed.checks if not one.passed),
        )

    def _remove_leftovers(self, metric: Metric, day: date, before: Settled | None, keep: str = "") -> None:
        """Remove the day's files that no record names."""
        kept = {keep, before.file if before is not None else ""}
        for path in (self._folder / metric.name / day.isoformat()).glob("*"):
            if f"{metric.name}/{day}/{path.name}" not in kept:
                path.unlink(missing_ok=True)


def remove_days(folder: Path, metric: Metric, days: Iterable[date]) -> None:
    """Remove the files of days whose records are dropped."""
    for day in days:
        shutil.rmtree(folder / metric.name / day.isoformat(), ignore_errors=True)
