"""From settled days to tiles and panels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.dashboard.metric_values import in_words, is_share, label, number
from gamestream_dagster.dashboard.pages.game.settled import Row, Settled, Standing
from gamestream_dagster.dashboard.pages.game.shapes import Shape, Shown
from gamestream_dagster.dashboard.parts import (
    Badge,
    Cell,
    Column,
    Link,
    Note,
    Panel,
    Part,
    Table,
    Tile,
    Tiles,
    Tone,
    ago,
    chart_of,
    doc,
    plural,
    short,
)

SETTLE: Final = "gamestream archive && gamestream metrics backfill --from DAY --to DAY"
APPLY: Final = "gamestream apply"
# A day is settled at 02:00 UTC of the next one: what is older than that has waited.
_OLD = timedelta(days=2)
_TILES: Final = 6
_COHORTS: Final = 31
_LISTED: Final = 12


def tiles(settled: Settled, metrics: Sequence[Shown]) -> list[Tile]:
    """The main number of each series on its newest day, against the week before."""
    found = [_tile(one, settled) for one in metrics if one.shape is Shape.SERIES and settled.rows.get(one.metric.name)]
    return found[:_TILES]


def _tile(one: Shown, settled: Settled) -> Tile:
    rows = settled.rows[one.metric.name]
    newest = rows[-1]
    about = f"{label(one.metric, one.main)}, {_day(newest[one.metric.partition])}"
    change = _change(rows, one.main, one.metric.partition)
    if change:
        about = f"{about}, {change}"
    value = number(one.metric.columns[one.main], newest[one.main])
    return Tile(one.metric.title.removesuffix(" by day"), value, about, f"#gs-{one.metric.name}")


def panels(settled: Settled, metrics: Sequence[Shown]) -> list[Panel]:
    """A panel for each metric; one for all of them before the first day."""
    if not settled.standing:
        names = ", ".join(one.metric.title for one in metrics)
        notes = list(dict.fromkeys(_empty(one.metric, settled) for one in metrics))
        about = f"Once one is, this page shows: {names}."
        return [
            Panel(
                "none",
                "No day is settled yet",
                about,
                notes,
                links=(Link("how a day is settled", doc("metrics")),),
                is_wide=True,
            )
        ]
    return [_panel(one, settled) for one in metrics]


def _panel(one: Shown, settled: Settled) -> Panel:
    metric, rows = one.metric, settled.rows.get(one.metric.name, ())
    standing = settled.standing.get(metric.name)
    badges = _badges(standing, settled) if standing else ()
    parts = _parts(one, rows, standing) if standing else [_empty(metric, settled)]
    return Panel(
        metric.name,
        metric.title,
        _first_sentence(metric.definition),
        parts,
        badges,
        (Link("definition", doc(f"metrics/{metric.name}")),),
        is_wide=bool(rows) and (_is_triangle(one, rows) or len(one.measures) > 6) and one.shape is not Shape.SERIES,
    )


def _empty(metric: Metric, settled: Settled) -> Note:
    if settled.missing & {metric.name, "metric_settlements"}:
        return Note("The table does not exist yet.", APPLY)
    return Note("Dagster settles each day at 02:00 UTC. To settle days now:", SETTLE)


def _badges(standing: Standing, settled: Settled) -> tuple[Badge, ...]:
    late = f", {standing.late_events:,} of its events came after the first" if standing.version > 1 else ""
    hint = f"Version {standing.version}, settled {ago(settled.read_at - standing.settled_at)}{late}"
    old = settled.read_at.date() - standing.day > _OLD
    stands = Badge(f"{_day(standing.day)} · v{standing.version}", Tone.WARN if old else Tone.PLAIN, hint)
    if not standing.failed_checks:
        return (stands, Badge("checks hold", Tone.GOOD, "Every check of the metric holds for this day"))
    failed = ", ".join(standing.failed_checks)
    return (stands, Badge(plural(len(standing.failed_checks), "failed check"), Tone.BAD, failed))


def _parts(one: Shown, rows: Sequence[Row], standing: Standing) -> list[Part]:
    if not rows:
        return [Note(f"{_day(standing.day)} was settled with no row: nothing of this happened.")]
    match one.shape:
        case Shape.SERIES:
            return _series(one, rows)
        case Shape.COHORTS:
            return [_triangle(one, rows) if _is_triangle(one, rows) else _by_age(one, rows)]
        case Shape.TABLE:
            drawn = [_by_number(one, rows, one.ratio)] if one.is_numbered and one.ratio else []
            return [*drawn, _table(one, rows, standing)]


def _series(one: Shown, rows: Sequence[Row]) -> list[Part]:
    metric, newest = one.metric, rows[-1]
    columns = metric.columns
    shown = [
        Tile(
            label(metric, name),
            number(columns[name], newest[name]),
            _change(rows, name, metric.partition) or columns[name].unit,
            doc(f"metrics/{metric.name}"),
        )
        for name in one.measures
    ]
    return [_line(one, rows), Tiles(shown)]


def _line(one: Shown, rows: Sequence[Row]) -> Part:
    metric, main = one.metric, one.main
    by_day = {row[metric.partition]: row for row in rows}
    last: date = rows[-1][metric.partition]
    first: date = rows[0][metric.partition]
    days = [first + timedelta(days=each) for each in range((last - first).days + 1)]
    values = [float(by_day[day][main] or 0) if day in by_day else 0.0 for day in days]
    hints = [
        f"{_day(day)}: " + (number(metric.columns[main], by_day[day][main]) if day in by_day else "not settled")
        for day in days
    ]
    return chart_of(
        [[value] for value in values],
        hints,
        summary=f"{in_words(main)} of {plural(len(rows), 'day')}, at most {short(max(values, default=0))}.",
        unit=f"{label(metric, main)} at most",
        first=_day(first),
        last=_day(last),
        top=number(metric.columns[main], max((by_day[day][main] or 0 for day in by_day), default=0)),
    )


def _triangle(one: Shown, rows: Sequence[Row]) -> Table:
    metric, main = one.metric, one.main
    ages = sorted({row[one.age] for row in rows})
    cohorts: dict[date, dict[int, Row]] = {}
    for row in rows:
        cohorts.setdefault(row[one.cohort], {})[row[one.age]] = row
    most = max((float(row[main]) for row in rows if row[main] is not None), default=0.0) or 1.0
    chosen = sorted(cohorts, reverse=True)[:_COHORTS]
    size_of = next((name for name in one.measures if metric.columns[name].unit == "players"), None)
    columns = [Column("cohort"), *((Column("players", True),) if size_of else ())]
    columns += [Column(f"D{age}", True, metric.columns[main].meaning) for age in ages]
    table = []
    for day in chosen:
        found = cohorts[day]
        size = [Cell(number(metric.columns[size_of], next(iter(found.values()))[size_of]))] if size_of else []
        table.append([Cell(_day(day)), *size, *(_heat(one, found.get(age), most) for age in ages)])
    return Table(columns, table, f"Shading: {in_words(main)}, the darker the more.", is_grid=True)


def _is_triangle(one: Shown, rows: Sequence[Row]) -> bool:
    """A day can know several ages of a cohort, or one: then its cohorts are a line."""
    return one.shape is Shape.COHORTS and len({row[one.cohort] for row in rows}) < len(rows)


def _by_age(one: Shown, rows: Sequence[Row]) -> Part:
    main, column = one.main, one.metric.columns[one.main]
    ordered = sorted(rows, key=lambda row: row[one.age])
    hints = [f"Day {row[one.age]}, cohort of {_day(row[one.cohort])}: {number(column, row[main])}" for row in ordered]
    return chart_of(
        [[max(0.0, float(row[main] or 0))] for row in ordered],
        hints,
        summary=f"{in_words(main)} of {plural(len(ordered), 'cohort')} by days since install.",
        unit=f"{label(one.metric, main)} at most",
        first=f"day {ordered[0][one.age]}",
        last=f"day {ordered[-1][one.age]}",
        top=number(column, max(row[main] or 0 for row in ordered)),
    )


def _by_number(one: Shown, rows: Sequence[Row], ratio: str) -> Part:
    column, dimension = one.metric.columns[ratio], one.dimensions[0]
    what = in_words(dimension)
    return chart_of(
        [[float(row[ratio] or 0)] for row in rows],
        [f"{what} {row[dimension]}: {in_words(ratio)} {number(column, row[ratio])}" for row in rows],
        summary=f"{in_words(ratio)} by {what}, {plural(len(rows), 'row')}.",
        unit=f"{in_words(ratio)} at most",
        first=f"{what} {rows[0][dimension]}",
        last=f"{what} {rows[-1][dimension]}",
        top=number(column, max(row[ratio] or 0 for row in rows)),
    )


def _heat(one: Shown, row: Row | None, most: float) -> Cell:
    if row is None or row[one.main] is None:
        return Cell("")
    value = float(row[one.main])
    return Cell(number(one.metric.columns[one.main], value), heat=max(0.0, min(1.0, value / most)))


def _table(one: Shown, rows: Sequence[Row], standing: Standing) -> Table:
    most = max((float(row[one.main] or 0) for row in rows), default=0.0) or 1.0
    columns = [
        *(Column(in_words(name), hint=one.metric.columns[name].meaning) for name in one.dimensions),
        *(_column(one.metric, name) for name in one.measures),
    ]
    listed = rows[:_LISTED]
    table = [[*(Cell(str(row[name])) for name in one.dimensions), *_cells(one, row, most)] for row in listed]
    left = max(standing.rows, len(rows)) - len(listed)
    command = f"gamestream metrics show {one.metric.name} --day {standing.day}"
    return Table(columns, table, f"{left:,} more rows: {command}" if left > 0 else "")


def _cells(one: Shown, row: Row, most: float) -> list[Cell]:
    return [_cell(one, name, row, most if name == one.main else None) for name in one.measures]


def _column(metric: Metric, name: str) -> Column:
    return Column(label(metric, name), is_number=True, hint=metric.columns[name].meaning)


def _cell(one: Shown, name: str, row: Row, most: float | None) -> Cell:
    column, value = one.metric.columns[name], row[name]
    heat = max(0.0, min(1.0, float(value))) if value is not None and is_share(column) else None
    share = None if most is None or value is None else max(0.0, min(1.0, float(value) / most))
    return Cell(number(column, value), share=share, heat=heat)


def _change(rows: Sequence[Row], name: str, partition: str) -> str:
    """Against the same weekday before: players have weeks."""
    newest = rows[-1]
    before = next((row for row in rows if row[partition] == newest[partition] - timedelta(days=7)), None)
    if before is None or not before[name] or newest[name] is None:
        return ""
    share = float(newest[name]) / float(before[name]) - 1
    if abs(share) < 0.0005:
        return "as a week before"
    return f"{'▲' if share > 0 else '▼'} {abs(share) * 100:,.1f} % in a week"


def _day(day: date) -> str:
    return f"{day:%d %b %Y}"


def _first_sentence(text: str) -> str:
    first, dot, _ = " ".join(text.split()).partition(". ")
    return first + dot.strip()
