"""From proofs to panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.dashboard.pages.quality.live_view import live_panel
from gamestream_dagster.dashboard.pages.quality.proofs import TREND_RUNS, Proofs, Row
from gamestream_dagster.dashboard.pages.quality.suite_view import FileUrl, expectations_tile, suites_panel
from gamestream_dagster.dashboard.pages.quality.suites import DocsRun
from gamestream_dagster.dashboard.pages.quality.words import MARKS, TONES, in_words
from gamestream_dagster.dashboard.parts import (
    Badge,
    Bar,
    Cell,
    Chart,
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
    clock,
    count,
    doc,
    plural,
    span,
)
from gamestream_dagster.reconciliation.model.values import Cause
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.reconciliation.results.report_view import MEANING

# Reconciliation runs every 15 minutes.
OLD = timedelta(minutes=30)
PROVE = "gamestream reconcile"
ALL_TABLES = "The table does not exist yet."

ReportUrl = Callable[[str | None], str]
"""Address of a stored report; empty when there is none."""


def tiles(proofs: Proofs, boards: Sequence[Board], runs: Sequence[DocsRun], report: ReportUrl) -> list[Tile]:
    """The state of all proofs in five numbers."""
    return [
        _newest(proofs, report),
        _proven(proofs, boards),
        _unexplained(proofs, report),
        _balanced(proofs, report),
        expectations_tile(runs),
    ]


def _newest(proofs: Proofs, report: ReportUrl) -> Tile:
    if not proofs.runs:
        return Tile("Newest proof", "none yet", f"Run: {PROVE}", doc("causes"), Tone.WARN)
    run = proofs.runs[0]
    age = proofs.read_at - run["finished_at"]
    verdict = run["verdict"] or "COULD_NOT_RUN"
    tone = Tone.WARN if age > OLD and verdict in ("MATCH", "EXPLAINED") else TONES.get(verdict, Tone.WARN)
    about = f"{plural(run['rows_compared'] or 0, 'row')} compared, {ago(age)}"
    return Tile("Newest proof", in_words(verdict), about, report(run["report_path"]) or doc("causes"), tone)


def _proven(proofs: Proofs, boards: Sequence[Board]) -> Tile:
    looked = [name for name, run in proofs.by_board.items() if verdict_of(run, proofs, name) in ("MATCH", "EXPLAINED")]
    good = bool(boards) and len(looked) == len(boards)
    return Tile(
        "Boards proven",
        f"{len(looked)} of {len(boards)}",
        "by their newest run",
        "#gs-boards",
        Tone.GOOD if good else Tone.WARN,
    )


def _unexplained(proofs: Proofs, report: ReportUrl) -> Tile:
    if not proofs.runs:
        return Tile("Unexplained rows", "–", "no run yet", doc("causes"))
    most = max(proofs.runs, key=lambda run: run["rows_unexplained"] or 0)
    total = sum(run["rows_unexplained"] or 0 for run in proofs.runs)
    where = report(most["report_path"]) if total else ""
    about = f"in the last {plural(len(proofs.runs), 'run')}"
    return Tile("Unexplained rows", count(total), about, where or doc("causes"), Tone.BAD if total else Tone.GOOD)


def _balanced(proofs: Proofs, report: ReportUrl) -> Tile:
    if not proofs.ledgers:
        return Tile("Ledger", "–", "no run has counted yet", doc("fates", "the-ledger"))
    off = [one for one in proofs.ledgers if not one["ledger"].get("balanced", True)]
    records = sum(_counted(one, "records") or 0 for one in proofs.ledgers)
    where = report((off or proofs.ledgers)[0]["report_path"]) or doc("events", "what-becomes-of-a-record")
    label = "not balanced" if off else "balanced"
    return Tile("Ledger", label, f"{records:,} records accounted for", where, Tone.BAD if off else Tone.GOOD)


def panels(
    proofs: Proofs, boards: Sequence[Board], runs: Sequence[DocsRun], report: ReportUrl, file_url: FileUrl
) -> list[Panel]:
    """The page under the tiles."""
    return [
        _boards(proofs, boards, report),
        _trend(proofs, report),
        _causes(proofs),
        _ledger(proofs, report),
        _intake(proofs),
        live_panel(proofs),
        suites_panel(runs, proofs.read_at, file_url),
    ]


def _boards(proofs: Proofs, boards: Sequence[Board], report: ReportUrl) -> Panel:
    rows = [_board(proofs, board, report) for board in boards]
    columns = (Column("board"), Column("verdict"), Column("rows that differ", is_number=True), Column("proven"))
    parts: list[Part] = [Table(columns, rows)]
    if not proofs.runs:
        parts.append(Note(_no_runs(proofs), _way_out(proofs)))
    return Panel(
        "boards",
        "Verdict by board",
        "The newest run about each board: every row against an independent recompute at the same cut.",
        parts,
        links=(Link("causes", doc("causes")),),
    )


def _board(proofs: Proofs, board: Board, report: ReportUrl) -> tuple[Cell, ...]:
    run = proofs.by_board.get(board.name)
    if run is None:
        return (Cell(board.title), Cell("not verified yet", tone=Tone.WARN), Cell("–"), Cell("never"))
    age = proofs.read_at - run.finished_at
    verdict, differing = verdict_of(run, proofs, board.name), proofs.differing.get(board.name)
    rows = differing.rows if differing else 0
    tone = TONES.get(verdict, Tone.WARN)
    return (
        Cell(board.title),
        Cell(in_words(verdict), tone=tone, hint=run.reason, href=report(run.report_path)),
        Cell(count(rows) if run.looked else "–"),
        Cell(ago(age), hint=f"Run {run.run_id}, {clock(run.finished_at)} UTC"),
    )


def verdict_of(run: FinishedRun, proofs: Proofs, board: str) -> str:
    """The verdict about one board: that of its run is also about the other boards of the topic.

    A run that differs without a differing row found its fault elsewhere, and stays DIFFERENT for each board.
    """
    same = [name for name, one in proofs.by_board.items() if one.run_id == run.run_id]
    if not run.looked or not any(name in proofs.differing for name in same):
        return run.verdict
    differing = proofs.differing.get(board)
    if differing is None:
        return "MATCH"
    return "EXPLAINED" if differing.accepted else "DIFFERENT"


def _no_runs(proofs: Proofs) -> str:
    if proofs.missing:
        return f"{ALL_TABLES.removesuffix('.')}: {', '.join(sorted(proofs.missing))}."
    return "Nothing was proven yet."


def _way_out(proofs: Proofs) -> str:
    return "gamestream apply" if proofs.missing else PROVE


def _trend(proofs: Proofs, report: ReportUrl) -> Panel:
    about = "One bar for each run, its height the seconds it took. ✓ match, ≈ explained, ✗ different, ? could not run."
    if not proofs.runs:
        return Panel("trend", "Trend", about, [Note(_no_runs(proofs), _way_out(proofs))])
    past = list(reversed(proofs.runs))
    longest = max((run["seconds"] or 0.0 for run in past), default=0.0) or 1.0
    bars = [_bar(run, longest, report) for run in past]
    verdicts = [run["verdict"] or "COULD_NOT_RUN" for run in past]
    tally = ", ".join(f"{verdicts.count(one)} {in_words(one)}" for one in TONES if one in verdicts)
    chart = Chart(
        f"{plural(len(past), 'run')}: {tally}.",
        f"longest {span(longest)}",
        f"{clock(past[0]['finished_at'])} UTC",
        f"{clock(past[-1]['finished_at'])} UTC",
        bars,
    )
    badges = [Badge(f"{verdicts.count(one)} {in_words(one)}", TONES[one]) for one in TONES if one in verdicts]
    return Panel("trend", f"Trend of the last {plural(min(len(past), TREND_RUNS), 'run')}", about, [chart], badges)


def _bar(run: Row, longest: float, report: ReportUrl) -> Bar:
    verdict = run["verdict"] or "COULD_NOT_RUN"
    seconds = run["seconds"] or 0.0
    hint = (
        f"{clock(run['finished_at'])} UTC: {in_words(verdict)}, {plural(run['rows_compared'] or 0, 'row')} compared, "
        f"{run['rows_different'] or 0} differ, {span(seconds)}. {run['reason'] or ''}".strip()
    )
    height = max(seconds / longest, 0.04)
    tone = TONES.get(verdict, Tone.WARN)
    return Bar([height], hint, report(run["report_path"]), MARKS.get(verdict, "?"), tone)


def _causes(proofs: Proofs) -> Panel:
    runs = plural(len(proofs.runs), "run") if proofs.runs else "runs"
    about = f"Why rows differed in the last {runs}, and rows of the newest that has some."
    links = (Link("what each cause means", doc("causes")),)
    if not proofs.causes:
        text = "No row differed in these runs." if proofs.runs else _no_runs(proofs)
        note = Note(text) if proofs.runs else Note(text, _way_out(proofs))
        return Panel("causes", "Causes", about, [note], links=links)
    most = max(one["found"] for one in proofs.causes)
    rows = [_cause(one, most) for one in proofs.causes]
    columns = (Column("cause"), Column("found", is_number=True), Column("policy"), Column("boards"))
    parts: list[Part] = [Table(columns, rows)]
    if proofs.rows:
        heads = (Column("row"), Column("board shows"), Column("recompute"), Column("cause"))
        parts.append(Table(heads, [_difference(one) for one in proofs.rows], _more(proofs)))
    return Panel("causes", "Causes", about, parts, links=links)


def _more(proofs: Proofs) -> str:
    run = next(one for one in proofs.runs if one["run_id"] == proofs.rows[0]["run_id"])
    left = (run["rows_different"] or 0) - len({(one["board"], one["rnk"], one["entity"]) for one in proofs.rows})
    return f"Run {run['run_id']}, {clock(run['finished_at'])} UTC." + (
        f" {left} more in its report." if left > 0 else ""
    )


def _cause(one: Row, most: int) -> tuple[Cell, ...]:
    named = one["cause"]
    meaning = MEANING.get(Cause(named), "") if named in Cause._value2member_map_ else ""
    whole = one["accepted"] == one["found"]
    policy = "accepted" if whole else "not accepted" if not one["accepted"] else f"{one['accepted']} accepted"
    tone = Tone.PLAIN if whole else Tone.BAD
    return (
        Cell(named, soft=meaning, href=doc("causes")),
        Cell(count(one["found"]), soft=f"in {plural(one['runs'], 'run')}", share=one["found"] / most),
        Cell(policy, tone=tone, hint=one["action"] or ""),
        Cell(", ".join(one["boards"])),
    )


def _difference(one: Row) -> tuple[Cell, ...]:
    place = f"{one['board']} #{one['rnk']}" if one["rnk"] is not None else one["board"]
    hint = one["explanation"] or one["action"] or ""
    what = " · ".join(str(part) for part in (one["entity"], one["column_name"], one["sink"]) if part)
    return (
        Cell(place, soft=what),
        Cell(_value(one["streamed"])),
        Cell(_value(one["recomputed"])),
        Cell(
            one["cause"],
            tone=Tone.PLAIN if one["accepted"] else Tone.BAD,
            hint=hint,
        ),
    )


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = ", ".join(f"{name} {inner}" for name, inner in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _ledger(proofs: Proofs, report: ReportUrl) -> Panel:
    about = "Every record that entered, by what became of it: in = accepted + duplicate + late + dead-lettered."
    links = (Link("what becomes of a record", doc("events", "what-becomes-of-a-record")),)
    if not proofs.ledgers:
        return Panel("ledger", "Ledger of the boards", about, [Note(_no_runs(proofs), _way_out(proofs))], links=links)
    names = ("records", "accepted", "duplicate", "late", "dead_lettered")
    columns = (Column("topic"), Column("balance"), *(Column(in_words(name), is_number=True) for name in names))
    rows = [
        (
            Cell(one["topic"], soft=f"counted {ago(proofs.read_at - one['finished_at'])}"),
            _balance(one, report),
            *(Cell(count(_counted(one, name))) for name in names),
        )
        for one in proofs.ledgers
    ]
    parts: list[Part] = [Table(columns, rows)]
    for one in proofs.ledgers:
        faults = one["ledger"].get("faults")
        parts += [Note(f"{fault}.", PROVE, Tone.BAD) for fault in (faults if isinstance(faults, list) else [])[:3]]
    for topic, minutes in proofs.minutes.items():
        if minutes:
            parts.append(_minutes(topic, minutes))
    return Panel("ledger", "Ledger of the boards", about, parts, links=links)


def _counted(one: Row, name: str) -> int | None:
    """A count of a stored balance; None where it is no number, as a manual edit may have left it."""
    value = one["ledger"].get(name)
    return value if isinstance(value, int) else None


def _balance(one: Row, report: ReportUrl) -> Cell:
    balanced = one["ledger"].get("balanced", True)
    return Cell(
        "balanced" if balanced else "not balanced",
        tone=Tone.GOOD if balanced else Tone.BAD,
        href=report(one["report_path"]),
        hint=f"Run {one['run_id']}",
    )


def _minutes(topic: str, minutes: Sequence[Row]) -> Chart:
    names = ("accepted", "duplicate", "late", "dead_lettered")
    values = [[int(one[name]) for name in names] for one in minutes]
    hints = [
        f"{clock(one['minute'])} UTC: " + ", ".join(f"{int(one[name]):,} {in_words(name)}" for name in names)
        for one in minutes
    ]
    total = sum(sum(each) for each in values)
    return chart_of(
        values,
        hints,
        summary=f"{topic}: {plural(total, 'record')} in {plural(len(minutes), 'counted minute')}.",
        unit=f"records a minute · {topic}",
        first=f"{clock(minutes[0]['minute'])} UTC",
        last=f"{clock(minutes[-1]['minute'])} UTC",
        series=[in_words(name) for name in names],
    )


def _intake(proofs: Proofs) -> Panel:
    about = "What the HTTP API answered in the last hour, and what the job of intake has counted since it began."
    links = (Link("fates of events", doc("fates", "the-ledger")),)
    names = ("received", "accepted", "duplicate", "refused", "retry")
    sums = {name: sum(int(one[name]) for one in proofs.http) for name in names}
    where = doc("fates", "the-ledger")
    answered = sums["accepted"] + sums["duplicate"] + sums["refused"] + sums["retry"]
    fits = answered == sums["received"]
    shown = [
        Tile(
            "received over HTTP",
            count(sums["received"]),
            "all answered" if fits else f"{answered:,} answered",
            where,
            Tone.PLAIN if fits else Tone.BAD,
        ),
        *(Tile(name, count(sums[name]), "last hour", where) for name in names[1:]),
    ]
    if proofs.intake is not None:
        about_job = f"{count(proofs.intake['duplicate'])} copies dropped"
        shown.append(Tile("read by intake", count(proofs.intake["records"]), about_job, where))
    parts: list[Part] = [Tiles(shown)]
    if proofs.missing & {"ingest_counts"}:
        parts = [Note("The table ingest_counts does not exist yet.", "gamestream apply")]
    elif not sums["received"]:
        parts.append(Note("No event came over HTTP in the last hour.", "gamestream simulate --via http --rate 200"))
    else:
        parts.append(_http_minutes(proofs))
    text = "Dagster proves every hour that each event has exactly one fate. To prove it now:"
    parts.append(Note(text, "gamestream reconcile --intake"))
    return Panel("intake", "Ledger of intake", about, parts, links=links, is_wide=True)


def _http_minutes(proofs: Proofs) -> Chart:
    names = ("accepted", "duplicate", "refused", "retry")
    return chart_of(
        [[int(one[name]) for name in names] for one in proofs.http],
        [
            f"{clock(one['minute'])} UTC: " + ", ".join(f"{int(one[name]):,} {name}" for name in names)
            for one in proofs.http
        ],
        summary=f"Events over HTTP in {plural(len(proofs.http), 'minute')} of the last hour.",
        unit="events a minute",
        first=f"{clock(proofs.http[0]['minute'])} UTC",
        last=f"{clock(proofs.http[-1]['minute'])} UTC",
        series=names,
    )
