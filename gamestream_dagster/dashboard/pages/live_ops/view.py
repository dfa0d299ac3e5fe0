"""From the pulse and the moment to tiles and panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.dashboard.lag import LAG_IS_HIGH, lag_lines
from gamestream_dagster.dashboard.pages.live_ops.abuse import ABUSE_JOB, abuse_panel
from gamestream_dagster.dashboard.pages.live_ops.minutes import (
    ARMS,
    FEATURES,
    ONLINE,
    ONLINE_FOR,
    OPEN,
    OPEN_FOR,
    REFUNDS,
    REGIONS,
    REVENUE,
    TYPES,
    LiveTable,
    Moment,
    Row,
)
from gamestream_dagster.dashboard.pages.live_ops.stream import RATE_MINUTES, Pulse
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
    Tone,
    ago,
    chart_of,
    count,
    doc,
    per_cent,
    plural,
)
from gamestream_dagster.dashboard.reading import Problem

DLQ_IS_HIGH: Final = 0.01
"""As the alert `high_dlq_rate` has it."""
_SERIES: Final = 5
"""Regions with a colour; the rest is one of them."""
_REST: Final = "others"


def tiles(pulse: Pulse | Problem, moment: Moment | Problem) -> list[Tile]:
    """The numbers to watch."""
    return [*_of_stream(pulse), _players(moment), _lag(pulse, moment), _alerts(moment)]


def _of_stream(pulse: Pulse | Problem) -> list[Tile]:
    labels = ("Events a second", "Last minute", "Last 24 hours", "Dead letters")
    if isinstance(pulse, Problem):
        return [Tile(label, "?", pulse.title, doc("game-events"), Tone.WARN) for label in labels]
    share = pulse.dead_share
    dead = (
        Tone.PLAIN if share is None else Tone.BAD if share > DLQ_IS_HIGH and pulse.dead >= RATE_MINUTES else Tone.GOOD
    )
    return [
        Tile(labels[0], f"{pulse.last_minute / 60:,.1f}", "over the last minute", "#gs-arrivals", Tone.LIVE),
        Tile(labels[1], count(pulse.last_minute), "events came", "#gs-arrivals"),
        Tile(labels[2], count(pulse.last_day), "events came", doc("game-events")),
        Tile(
            labels[3],
            per_cent(share),
            f"{count(pulse.dead)} in {RATE_MINUTES} minutes",
            doc("runbooks/high_dlq_rate"),
            dead,
        ),
    ]


def _players(moment: Moment | Problem) -> Tile:
    label, where = "Players online", "#gs-online"
    if isinstance(moment, Problem):
        return Tile(label, "?", moment.title, where, Tone.WARN)
    if ONLINE.name not in moment.recent or moment.job_states.get(ONLINE.job) != "RUNNING":
        return Tile(label, "–", f"{ONLINE.job} does not count", where)
    players = sum(int(row["players"] or 0) for row in moment.recent[ONLINE.name])
    return Tile(label, count(players), f"an event in {_minutes(ONLINE_FOR)}", where, Tone.LIVE)


def _lag(pulse: Pulse | Problem, moment: Moment | Problem) -> Tile:
    where = doc("runbooks/high_kafka_lag")
    if isinstance(moment, Problem):
        return Tile("Lag", "?", moment.title, where, Tone.WARN)
    lines = lag_lines(moment.positions, {} if isinstance(pulse, Problem) else pulse.ranges)
    known = [(one.lag, one.job) for one in lines if one.lag is not None]
    if not known:
        return Tile("Lag", "–", "no job has counted yet", where)
    lag, job = max(known)
    return Tile("Lag", count(lag), job, where, Tone.BAD if lag > LAG_IS_HIGH else Tone.GOOD)


def _alerts(moment: Moment | Problem) -> Tile:
    if isinstance(moment, Problem):
        return Tile("Alerts", "?", moment.title, doc("alerts"), Tone.WARN)
    if moment.alerts is None or moment.alerts.evaluated_at is None:
        return Tile("Alerts", "–", "never evaluated", doc("alerts"), Tone.WARN)
    firing = [one for one in moment.alerts.lines if one.state == AlertState.FIRING]
    about = ", ".join(sorted({one.name for one in firing})[:2]) or "nothing fires"
    where = firing[0].runbook.removeprefix("docs/").removesuffix(".md") if firing else ""
    return Tile("Alerts", count(len(firing)), about, doc(where or "alerts"), Tone.BAD if firing else Tone.GOOD)


def panels(pulse: Pulse | Problem, moment: Moment | Problem) -> list[Panel]:
    """The page under the tiles."""
    return [
        _arrivals(pulse),
        _regions(moment),
        _online(moment),
        _table("types", "Events by type", TYPES, moment, {"events": count}),
        _table("revenue", "Revenue", REVENUE, moment, {"purchases": count, "gross_micros": _micros}),
        _table("refunds", "Refunds", REFUNDS, moment, {"refunds": count, "refunded_micros": _micros}),
        _table("features", "Features in use", FEATURES, moment, {"uses": count}),
        _table("arms", "Experiments", ARMS, moment, {"exposures": count}),
        _abuse(moment),
    ]


def _abuse(moment: Moment | Problem) -> Panel:
    if isinstance(moment, Problem):
        return Panel("abuse", "Abuse", "The newest rows about abuse.", [_of_problem(moment)])
    return abuse_panel(moment.abuse, moment.read_at, moment.job_states.get(ABUSE_JOB))


def _of_problem(problem: Problem) -> Note:
    return Note(f"{problem.title}. {problem.sentence}", problem.command, Tone.WARN)


def _arrivals(pulse: Pulse | Problem) -> Panel:
    about = "Game events by the minute in which Kafka took them, of whole minutes; good, late and refused alike."
    links = (Link("what is accepted", doc("game-events")),)
    if isinstance(pulse, Problem):
        return Panel("arrivals", "Arrivals", about, [_of_problem(pulse)], links=links)
    hints = [f"{_clock(at)} UTC: {plural(records, 'event')}" for at, records in pulse.minutes]
    values = [[float(records)] for _, records in pulse.minutes]
    total = sum(records for _, records in pulse.minutes)
    chart = chart_of(
        values,
        hints,
        summary=f"{plural(total, 'event')} in the last {len(values)} whole minutes.",
        unit="events a minute",
        first=f"{_clock(pulse.minutes[0][0])} UTC",
        last=f"{_clock(pulse.minutes[-1][0])} UTC",
    )
    parts: list[Part] = [chart]
    if not pulse.last_day:
        parts.append(Note("No event came within a day.", "gamestream simulate --via http --rate 200"))
    badges = (
        Badge(f"{pulse.late:,} late in {RATE_MINUTES} min", Tone.PLAIN, "More than 10 minutes after they happened"),
    )
    return Panel("arrivals", "Arrivals", about, parts, badges, links)


def _regions(moment: Moment | Problem) -> Panel:
    about = "Accepted events by the minute in which they happened; a minute takes events for ten more."
    if isinstance(moment, Problem) or (why := _absent(REGIONS, moment)) is not None:
        note = _of_problem(moment) if isinstance(moment, Problem) else why
        return Panel("regions", "Events by region", about, [note] if note else [])
    if not moment.regions:
        return Panel("regions", "Events by region", about, [_nothing(REGIONS, moment)])
    names = _largest(moment.regions)
    minutes = sorted({row["minute"] for row in moment.regions})
    by_minute = {minute: dict.fromkeys(names, 0) for minute in minutes}
    for row in moment.regions:
        name = row["region"] if row["region"] in names else _REST
        by_minute[row["minute"]][name] += int(row["events"] or 0)
    hints = [
        f"{minute:%H:%M} UTC: " + ", ".join(f"{by_minute[minute][name]:,} {name}" for name in names)
        for minute in minutes
    ]
    chart = chart_of(
        [[float(by_minute[minute][name]) for name in names] for minute in minutes],
        hints,
        summary=f"Events by region in {plural(len(minutes), 'minute')}.",
        unit="events a minute",
        first=f"{minutes[0]:%H:%M} UTC",
        last=f"{minutes[-1]:%H:%M} UTC",
        series=names,
    )
    age = f"as of {ago(moment.read_at - moment.as_of)}" if moment.as_of else "age unknown"
    open_minutes = len({row["minute"] for row in moment.regions if not row["final"]})
    badges = (
        Badge(age, Tone.LIVE),
        Badge(f"{plural(open_minutes, 'minute')} open", Tone.PLAIN, "They still take events"),
    )
    return Panel("regions", "Events by region", about, [chart], badges)


def _online(moment: Moment | Problem) -> Panel:
    """Players and sessions side by side, the regions with most players first."""
    title = "Online by region"
    about = (
        f"Players with an event in the last {_minutes(ONLINE_FOR)}, sessions with one in the last "
        f"{_minutes(OPEN_FOR)}; each counts once, in the region of the last event."
    )
    links = (Link("how it is counted", doc("live-metrics")),)
    if isinstance(moment, Problem):
        return Panel("online", title, about, [_of_problem(moment)], links=links)
    players = {row["region"]: int(row["players"] or 0) for row in moment.recent.get(ONLINE.name, ())}
    sessions = {row["region"]: int(row["sessions"] or 0) for row in moment.recent.get(OPEN.name, ())}
    why = _absent(ONLINE, moment) or _absent(OPEN, moment)
    regions = sorted({*players, *sessions}, key=lambda one: (-players.get(one, 0), -sessions.get(one, 0), one))
    if why is not None or not regions:
        return Panel("online", title, about, [why or _nothing(ONLINE, moment)], links=links)
    most = max(players.values(), default=0) or 1
    columns = [Column("region"), Column("players", is_number=True), Column("sessions", is_number=True)]
    cells = [
        [Cell(one), Cell(count(here), share=here / most), Cell(count(sessions.get(one, 0)))]
        for one in regions
        if (here := players.get(one, 0)) or sessions.get(one, 0)
    ]
    return Panel("online", title, about, [Table(columns, cells)], links=links)


def _minutes(span: timedelta) -> str:
    return f"{span // timedelta(minutes=1)} minutes"


def _largest(rows: Sequence[Row]) -> list[str]:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["region"]] = totals.get(row["region"], 0) + int(row["events"] or 0)
    names = sorted(totals, key=lambda name: (-totals[name], name))
    return names if len(names) <= _SERIES else [*names[: _SERIES - 1], _REST]


def _table(
    name: str, title: str, table: LiveTable, moment: Moment | Problem, formats: dict[str, Callable[[float | None], str]]
) -> Panel:
    about = "Sums of the last ten minutes."
    if isinstance(moment, Problem):
        return Panel(name, title, about, [_of_problem(moment)])
    why = _absent(table, moment)
    rows = moment.recent.get(table.name, ())
    if why is not None or not rows:
        return Panel(name, title, about, [why or _nothing(table, moment)])
    most = max((float(row[table.measures[0]] or 0) for row in rows), default=0.0) or 1.0
    columns = [
        Column(" · ".join(map(_in_words, table.dimensions))),
        *(Column(_in_words(each), is_number=True) for each in formats),
    ]
    cells = [
        [
            Cell(" · ".join(str(row[each]) for each in table.dimensions)),
            *(
                Cell(text(row[each]), share=float(row[each] or 0) / most if each == table.measures[0] else None)
                for each, text in formats.items()
            ),
        ]
        for row in rows
    ]
    return Panel(name, title, about, [Table(columns, cells)])


def _absent(table: LiveTable, moment: Moment) -> Note | None:
    if table.name in moment.missing:
        text = f"The table {table.name} does not exist yet: the job {table.job} writes it, once it is deployed."
        return Note(text, f"gamestream jobs apply {table.job}")
    if table.name in moment.unlike:
        text = f"The table {table.name} has other columns than this version expects."
        return Note(text, "gamestream plan", Tone.WARN)
    return None


def _nothing(table: LiveTable, moment: Moment) -> Note:
    """No rows are a fact only while the job runs."""
    job, state = table.job, moment.job_states.get(table.job)
    if state is None:
        return Note(f"The job {job}, which counts this, is not deployed.", f"gamestream jobs apply {job}")
    if state != "RUNNING":
        text = f"The job {job}, which counts this, is {state.lower()}."
        return Note(text, f"gamestream jobs show {job}", Tone.WARN)
    return Note("Nothing of this in the last minutes.", "gamestream simulate --via http --rate 200")


def _micros(value: float | None) -> str:
    return "–" if value is None else f"{float(value) / 1e6:,.2f}"


def _in_words(name: str) -> str:
    return name.removesuffix("_micros").replace("_", " ")


def _clock(millis: int) -> str:
    return f"{datetime.fromtimestamp(millis / 1000, UTC):%H:%M}"
