"""From a look at the platform to tiles and panels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.alerts.overview import Line
from gamestream_dagster.catalogue.topics import Topic
from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.dashboard.lag import LAG_IS_HIGH, LagLine, lag_lines
from gamestream_dagster.dashboard.pages.platform.looks import JobLook, Platform, Records, TopicLook
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
    count,
    doc,
    plural,
    size,
    span,
)
from gamestream_dagster.dashboard.reading import Problem
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, JobSpec
from gamestream_dagster.platform.service import ServiceState, ServiceStatus

EVALUATION_IS_OLD = timedelta(minutes=5)
_WELL = frozenset({ServiceState.HEALTHY, ServiceState.EXTERNAL})
_SERVICE_TONES = {
    ServiceState.HEALTHY: Tone.GOOD,
    ServiceState.EXTERNAL: Tone.GOOD,
    ServiceState.STARTING: Tone.WARN,
    ServiceState.STOPPED: Tone.PLAIN,
    ServiceState.FAILED: Tone.BAD,
    ServiceState.UNREACHABLE: Tone.BAD,
}
_JOB_TONES = {FlinkState.RUNNING: Tone.LIVE, FlinkState.FINISHED: Tone.PLAIN, FlinkState.FAILED: Tone.BAD}
_ALERT_TONES = {
    AlertState.FIRING.value: Tone.BAD,
    "silenced": Tone.PLAIN,
    AlertState.NO_DATA.value: Tone.WARN,
    AlertState.PENDING.value: Tone.WARN,
}
"""The states that are shown."""
_ALERTS_SHOWN = 30


@dataclass(frozen=True)
class Wanted:
    """What the project describes: jobs and topics by name."""

    jobs: Mapping[str, JobSpec]
    topics: Mapping[str, Topic]


def tiles(look: Platform, wanted: Wanted) -> list[Tile]:
    """The state of the platform in five numbers."""
    return [_servers(look), _jobs_tile(look, wanted), _messages(look), _lag_tile(look), _alerts_tile(look)]


def _servers(look: Platform) -> Tile:
    where = "#gs-services"
    if isinstance(look.services, Problem):
        return Tile("Servers", "?", look.services.title, where, Tone.WARN)
    well = sum(one.state in _WELL for one in look.services)
    tone = Tone.GOOD if well == len(look.services) else Tone.WARN
    if any(_SERVICE_TONES[one.state] is Tone.BAD for one in look.services):
        tone = Tone.BAD
    return Tile("Servers", f"{well} of {len(look.services)}", "healthy", where, tone)


def _jobs_tile(look: Platform, wanted: Wanted) -> Tile:
    if isinstance(look.flink, Problem):
        return Tile("Jobs", "?", look.flink.title, "#gs-jobs", Tone.WARN)
    names = [name for name, spec in wanted.jobs.items() if spec.desired_state is DesiredState.RUNNING]
    jobs = look.flink.jobs
    running = sum(name in jobs and jobs[name].job.state is FlinkState.RUNNING for name in names)
    return Tile(
        "Jobs", f"{running} of {len(names)}", "running", "#gs-jobs", Tone.GOOD if running == len(names) else Tone.BAD
    )


def _messages(look: Platform) -> Tile:
    if isinstance(look.topics, Problem):
        return Tile("Topics", "?", look.topics.title, "#gs-topics", Tone.WARN)
    records = sum(one.messages for one in look.topics)
    return Tile("Messages", count(records), f"in {plural(len(look.topics), 'topic')}", "#gs-topics")


def _lag_tile(look: Platform) -> Tile:
    lines = lags(look)
    if isinstance(lines, Problem):
        return Tile("Lag", "?", lines.title, "#gs-lag", Tone.WARN)
    known = [one.lag for one in lines if one.lag is not None]
    if not known:
        return Tile("Lag", "–", "no job has counted yet", "#gs-lag")
    tone = Tone.BAD if max(known) > LAG_IS_HIGH else Tone.GOOD
    return Tile("Lag", count(max(known)), "records, of the job furthest behind", "#gs-lag", tone)


def _alerts_tile(look: Platform) -> Tile:
    if isinstance(look.records, Problem):
        return Tile("Alerts", "?", look.records.title, "#gs-alerts", Tone.WARN)
    seen = look.records.alerts
    if seen is None or seen.evaluated_at is None:
        return Tile("Alerts", "–", "never evaluated", doc("alerts"), Tone.WARN)
    firing = sum(one.state == AlertState.FIRING for one in seen.lines)
    blind = sum(one.state == AlertState.NO_DATA for one in seen.lines)
    about = f"firing, {blind} without data" if blind else "firing"
    return Tile("Alerts", count(firing), about, "#gs-alerts", Tone.BAD if firing else Tone.GOOD)


def panels(look: Platform, wanted: Wanted, flink_url: str) -> list[Panel]:
    """The page under the tiles: what asks for somebody first."""
    return [_alerts(look), _services(look), _lag(look), _jobs(look, wanted, flink_url), _topics(look, wanted)]


def _of_problem(problem: Problem) -> list[Part]:
    return [Note(f"{problem.title}. {problem.sentence}", problem.command, Tone.WARN)]


def _alerts(look: Platform) -> Panel:
    about = "What fires, what has no data, and the runbook that says what to do."
    links = (Link("how alerts work", doc("alerts")),)
    return Panel("alerts", "Alerts", about, _alert_parts(look), links=links)


def _alert_parts(look: Platform) -> list[Part]:
    if isinstance(look.records, Problem):
        return _of_problem(look.records)
    seen = look.records.alerts
    if seen is None:
        return [Note("The tables of alerts do not exist yet.", "gamestream apply")]
    if seen.evaluated_at is None:
        return [Note("No rule was evaluated yet: the sensor alert_rules of Dagster does it.", "gamestream status")]
    lines = [one for one in seen.lines if one.state in _ALERT_TONES]
    parts: list[Part] = []
    age = look.read_at - datetime.fromtimestamp(seen.evaluated_at, UTC)
    if age > EVALUATION_IS_OLD:
        text = f"The rules were last evaluated {ago(age)}; what follows may be over."
        parts.append(Note(text, "gamestream status", Tone.WARN))
    if not lines:
        parts.append(Note(f"Nothing fires: {plural(len(seen.lines), 'alert')} evaluated {ago(age)}."))
        return parts
    columns = (Column("alert"), Column("state"), Column("since"), Column("runbook"))
    shown = lines[:_ALERTS_SHOWN]
    more = f"{len(lines) - len(shown)} more: gamestream alerts list" if len(lines) > len(shown) else ""
    parts.append(Table(columns, [_alert(one, look.read_at) for one in shown], more))
    parts += [
        Note(f"{plural(waiting, 'message')} of the route {route} wait to be sent.", "gamestream alerts list", Tone.WARN)
        for route, waiting in seen.waiting.items()
    ]
    return parts


def _alert(one: Line, now: datetime) -> tuple[Cell, ...]:
    since = ago(now - datetime.fromtimestamp(one.since, UTC)) if one.since and math.isfinite(one.since) else "–"
    runbook = one.runbook.removeprefix("docs/").removesuffix(".md")
    return (
        Cell(one.name, soft=one.why if one.state == AlertState.NO_DATA else one.message or one.why),
        Cell(one.state.replace("_", " "), tone=_ALERT_TONES.get(one.state, Tone.PLAIN), hint=one.severity),
        Cell(since),
        Cell("what to do", href=doc(runbook)) if runbook else Cell("–"),
    )


def _services(look: Platform) -> Panel:
    about = "The servers of this stack, each asked through its own interface."
    if isinstance(look.services, Problem):
        return Panel("services", "Servers", about, _of_problem(look.services))
    order = {Tone.BAD: 0, Tone.WARN: 1, Tone.PLAIN: 2}
    sick_first = sorted(look.services, key=lambda one: order.get(_SERVICE_TONES[one.state], 3))
    columns = (
        Column("server"), Column("state"), Column("port", is_number=True), Column("memory", is_number=True),
        Column("up", is_number=True),
    )  # fmt: skip
    rows = [_service(one) for one in sick_first]
    parts: list[Part] = [Table(columns, rows)]
    sick = [one.name for one in sick_first if one.state not in _WELL]
    if sick:
        stopped = all(one.state is ServiceState.STOPPED for one in look.services if one.name in sick)
        command = "gamestream up" if stopped else f"gamestream logs {sick[0]}"
        parts.append(Note(f"Not healthy: {', '.join(sick)}.", command))
    return Panel("services", "Servers", about, parts, is_tall=True)


def _service(one: ServiceStatus) -> tuple[Cell, ...]:
    link = one.link if one.link.startswith("http") else ""
    return (
        Cell(one.name, soft=one.detail, href=link),
        Cell(one.state.value.lower(), tone=_SERVICE_TONES[one.state]),
        Cell("–" if one.port is None else str(one.port)),
        Cell(size(one.resident_bytes)),
        Cell("–" if one.uptime_seconds is None else span(one.uptime_seconds)),
    )


def _jobs(look: Platform, wanted: Wanted, flink_url: str) -> Panel:
    about = "What each Flink job should be, what it is, and the state it would go on from."
    links = (Link("Flink", flink_url),)
    if isinstance(look.flink, Problem):
        return Panel("jobs", "Jobs", about, _of_problem(look.flink), links=links, is_wide=True)
    others = [name for name in look.flink.jobs if name not in wanted.jobs]
    columns = (
        Column("job"), Column("state"), Column("version"), Column("running for", is_number=True),
        Column("checkpoint", is_number=True, hint="Age of the newest complete one, and its size"),
        Column("failed", is_number=True, hint="Checkpoints that failed since the job was submitted"),
    )  # fmt: skip
    jobs = look.flink.jobs
    rows = [_job(name, wanted.jobs.get(name), jobs.get(name), look, flink_url) for name in [*wanted.jobs, *others]]
    cluster = look.flink.cluster
    badges = (
        Badge(f"Flink {cluster.version}", Tone.PLAIN),
        Badge(
            f"{cluster.slots_available} of {cluster.slots_total} slots free",
            Tone.PLAIN if cluster.task_managers else Tone.BAD,
            f"{plural(cluster.task_managers, 'TaskManager')}",
        ),
    )
    parts: list[Part] = [Table(columns, rows)]
    if not any(name in look.flink.jobs for name in wanted.jobs):
        parts.append(Note("No job of this project runs.", "gamestream apply"))
    return Panel("jobs", "Jobs", about, parts, badges, links, is_wide=True)


def _job(name: str, spec: JobSpec | None, seen: JobLook | None, look: Platform, flink_url: str) -> tuple[Cell, ...]:
    records = None if isinstance(look.records, Problem) else look.records
    last = records.deployments.get(name) if records else None
    incident = records.incidents.get(name) if records else None
    about = f"{incident['kind']}: {incident['summary'] or ''}" if incident else ""
    if not about and last and last["state"] in ("PARKED", "FAILED", "LOST"):
        about = f"{last['state'].lower()}: {last['reason'] or last['outcome'] or ''}"
    first = Cell(name, soft=about or (spec.description if spec else "not a job of this project"))
    version = Cell(f"g{last['generation']}", soft=last["fingerprint"][:8]) if last else Cell("–")
    if seen is None:
        is_wanted = spec is not None and spec.desired_state is DesiredState.RUNNING
        word = "not deployed" if last is None else last["state"].lower()
        absent = Cell(word, tone=Tone.BAD if is_wanted and last else Tone.WARN if is_wanted else Tone.PLAIN)
        return first, absent, version, Cell("–"), Cell("–"), Cell("–")
    href = f"{flink_url}/#/job/running/{seen.job.job_id}/overview"
    return (
        Cell(first.text, first.soft, href),
        Cell(seen.job.state.value.lower(), tone=_JOB_TONES.get(seen.job.state, Tone.WARN)),
        version,
        Cell("–" if seen.job.state.ended else span(_since(look.read_at, seen.job.started_ms))),
        _checkpoint(seen, look.read_at),
        Cell(count(seen.checkpoints.failed_count) if seen.checkpoints else "–"),
    )


def _checkpoint(seen: JobLook, now: datetime) -> Cell:
    newest = seen.checkpoints.newest if seen.checkpoints else None
    if newest is None or newest.acknowledged_ms is None:
        return Cell("none yet" if seen.checkpoints else "–")
    age = span(_since(now, newest.acknowledged_ms))
    about = f"#{newest.checkpoint_id}"
    if seen.size is not None:
        about += f", {size(seen.size.state_bytes)} in {span(seen.size.duration_ms / 1000)}"
    return Cell(f"{age} ago", soft=about)


def _since(now: datetime, millis: int) -> float:
    return max(0.0, now.timestamp() - millis / 1000)


def lags(look: Platform) -> list[LagLine] | Problem:
    """How far each job is behind each topic that it reads, the furthest first."""
    if isinstance(look.records, Problem):
        return look.records
    ranges = {} if isinstance(look.topics, Problem) else {one.name: one.ranges for one in look.topics}
    return lag_lines(look.records.positions, ranges)


def _lag(look: Platform) -> Panel:
    about = "Records that each job has still to read, by its own counts, which reach Postgres at each checkpoint."
    links = (Link("runbook", doc("runbooks/high_kafka_lag")),)
    lines = lags(look)
    if isinstance(lines, Problem):
        return Panel("lag", "Lag", about, _of_problem(lines), links=links)
    if not lines:
        missing = isinstance(look.records, Records) and "job_ledger" in look.records.missing
        note = Note("The table job_ledger does not exist yet.", "gamestream apply") if missing else None
        parts: list[Part] = [note or Note("No job has counted a record yet.", "gamestream simulate --rate 200")]
        return Panel("lag", "Lag", about, parts, links=links)
    hint = "The marker that a transaction leaves at the end of a partition counts as one record"
    most = max((one.lag or 0 for one in lines), default=0) or 1
    columns = (Column("job"), Column("topic"), Column("waiting", True, hint), Column("read up to", is_number=True))
    rows = [_lag_row(one, most) for one in lines]
    parts = [Table(columns, rows)]
    if isinstance(look.topics, Problem):
        parts = [*_of_problem(look.topics), *parts]
    return Panel("lag", "Lag", about, parts, links=links)


def _lag_row(one: LagLine, most: int) -> tuple[Cell, ...]:
    furthest = f"furthest: p{one.worst[0]}, {one.worst[1]:,}" if one.worst and one.worst[1] else ""
    waiting = Cell("–", hint="Kafka gave no end") if one.lag is None else Cell(count(one.lag), share=one.lag / most)
    read = Cell(count(one.read), soft="" if one.end is None else f"of {one.end:,}")
    return Cell(one.job), Cell(one.topic, soft=furthest), waiting, read


def _topics(look: Platform, wanted: Wanted) -> Panel:
    about = "Every topic of the cluster. Messages are counted by offsets: compaction and transactions leave holes."
    if isinstance(look.topics, Problem):
        return Panel("topics", "Topics", about, _of_problem(look.topics), is_wide=True)
    missing = [name for name in wanted.topics if name not in {one.name for one in look.topics}]
    most = max((one.messages for one in look.topics), default=0) or 1
    columns = (
        Column("topic"), Column("partitions", is_number=True), Column("messages", is_number=True),
        Column("on disk", is_number=True, hint="As allocated by the broker on this machine"), Column("kept"),
    )  # fmt: skip
    parts: list[Part] = [Table(columns, [_topic(one, wanted, most) for one in look.topics])] if look.topics else []
    if missing:
        parts.append(Note(f"Not there yet: {', '.join(missing)}.", "gamestream apply"))
    return Panel("topics", "Topics", about, parts, is_wide=True)


def _topic(one: TopicLook, wanted: Wanted, most: int) -> tuple[Cell, ...]:
    spec = wanted.topics.get(one.name)
    silent = f" · no leader: p{', p'.join(map(str, one.silent))}" if one.silent else ""
    return (
        Cell(one.name, soft=(spec.description if spec else "not described in topics.yaml") + silent),
        Cell(count(len(one.ranges))),
        Cell(count(one.messages), share=one.messages / most),
        Cell(size(one.octets)),
        Cell(_kept(spec)),
    )


def _kept(spec: Topic | None) -> str:
    if spec is None:
        return "–"
    if "compact" in spec.config.get("cleanup.policy", ""):
        return "newest of each key"
    millis = spec.config.get("retention.ms", "")
    return span(int(millis) / 1000).removesuffix(" 0 h") if millis.isdigit() else "for ever"
