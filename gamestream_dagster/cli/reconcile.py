"""`gamestream reconcile`, `board`: what the boards show, and whether it is true."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.dagster_link import reconciliation_event, report
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.intake_proof import prove_intake
from gamestream_dagster.cli.live_day import prove_day
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.catalogue.boards import Board
    from gamestream_dagster.reconciliation.model.proof import LedgerBalance, ReconciliationRun, TopicProof
    from gamestream_dagster.reconciliation.model.values import Difference, Row

# A pipe has no width of its own; a narrow guess would cut the lines.
data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

_VERDICT_STYLES = {"MATCH": "bold green", "EXPLAINED": "green", "DIFFERENT": "bold red", "COULD_NOT_RUN": "bold yellow"}
_NOTHING = "nothing was compared, and nothing is said about the boards"


class ModeName(StrEnum):
    """Modes of the command line."""

    BRACKET = "bracket"
    DRAINED = "drained"
    SAVEPOINT = "savepoint"
    TRANSACTIONAL = "transactional"


class EngineName(StrEnum):
    """Engines of the command line."""

    DUCKDB = "duckdb"
    FLINK = "flink"


class SinkName(StrEnum):
    """Sinks of the command line."""

    POSTGRES = "postgres"
    KAFKA = "kafka"


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("reconcile", rich_help_panel=panels.PROOF)(reconcile)
    app.command("board", rich_help_panel=panels.PROOF)(board)


def reconcile(  # noqa: PLR0917 - one parameter an option
    home: Home = None,
    port_base: PortBase = None,
    mode: Annotated[
        ModeName,
        typer.Option(
            help="bracket: while events flow. drained: input has stopped, both cuts are one. savepoint: the jobs stop "
            "with a savepoint and go on. transactional: the Kafka boards as readers with read_committed see them."
        ),
    ] = ModeName.BRACKET,
    board: Annotated[list[str] | None, typer.Option(help="Only this board; may be given several times.")] = None,
    sink: Annotated[
        list[SinkName] | None, typer.Option(help="Where to read the boards; default postgres, and kafka when drained.")
    ] = None,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="What recomputes the boards: duckdb here, or a batch job on Flink; default by the settings."),
    ] = None,
    intake: Annotated[
        bool, typer.Option("--intake", help="Prove intake instead: every game event has one fate, in the right topic.")
    ] = False,
    hours: Annotated[
        float | None, typer.Option(min=0.1, help="With --intake: only events of the last so many hours; default all.")
    ] = None,
    metrics: Annotated[
        datetime | None,
        typer.Option(
            "--metrics",
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Compare live event counts of a settled day with the settled ones instead.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the boards with an independent recompute of the same events.

    With --intake, compare the topics that intake writes with the archive's own judgement of every game event. With
    --metrics, compare the live event counts of a day with the settled ones, and split each difference into causes.

    Exit codes: 0 match, or explained by causes that the policy accepts; 1 different; 2 nothing could be compared.
    """
    from gamestream_dagster.reconciliation.run import reconcile as run_reconciliation
    from gamestream_dagster.settings import RecomputeEngine

    settings = settings_from(home, port_base)
    if intake and metrics is not None:
        raise CouldNotRun("--intake and --metrics are two proofs; run one after the other.")
    if intake:
        if board or sink or engine or mode is not ModeName.BRACKET:
            raise CouldNotRun("--intake is about no board; leave --mode, --board, --sink and --engine out.")
        prove_intake(settings, hours, as_json=as_json)
    if hours is not None:
        raise CouldNotRun("--hours is for the proof of intake; add --intake, or leave it out.")
    if metrics is not None:
        if board or sink or engine or mode is not ModeName.BRACKET:
            raise CouldNotRun("--metrics is about a day; leave --mode, --board, --sink and --engine out.")
        prove_day(settings, metrics.date(), as_json=as_json)
    if engine is not None:
        settings = settings.model_copy(update={"recompute_engine": RecomputeEngine(engine.value)})
    with as_could_not_run(), talk.status("reconciling") as status:
        run = run_reconciliation(
            settings,
            mode=mode.value,
            boards=board,
            sinks=[one.value for one in sink] if sink else None,
            say=status.update,
        )
    link = settings.report_url(run.report_path) if run.report_path else ""
    report(settings, reconciliation_event(run, all_boards=not board, report_url=link), _dim)
    if as_json:
        typer.echo(json.dumps(_run_data(run), indent=2))
    else:
        _show_run(run, settings.report_url(run.report_path) if run.report_path else "none was written")
    raise typer.Exit(run.exit_code)


def board(
    name: Annotated[str, typer.Argument(help="Name of the board, such as top_players.")],
    *,
    home: Home = None,
    port_base: PortBase = None,
    sink: Annotated[SinkName, typer.Option(help="Where to read it.")] = SinkName.POSTGRES,
    season: Annotated[
        str | None, typer.Option(help="Start of a season (UTC), such as 2026-11-21; default the newest one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a board as it is now."""
    from gamestream_dagster.catalogue.boards import load_boards
    from gamestream_dagster.catalogue.seasons import season_named
    from gamestream_dagster.clients.postgres import open_engine
    from gamestream_dagster.reconciliation.observe.sinks import read_season, read_tables, read_topic, visible

    settings = settings_from(home, port_base)
    with as_could_not_run():
        boards = load_boards(season=settings.season)
        if name not in boards:
            raise CouldNotRun(f"There is no board {name!r}; the boards are: {', '.join(boards)}.")
        described = boards[name]
        if season is not None and described.season_column is None:
            raise CouldNotRun(f"{name} is a board of all time; leave --season out.")
        start = None if season is None else season_named(settings.season, season).start
        if sink is SinkName.KAFKA:
            rows = read_topic(settings.kafka, described)
        else:
            with open_engine(settings) as engine:
                if start is None:
                    rows = read_tables(engine, [described])[name]
                else:
                    rows = read_season(engine, described, start)
        rows = visible(described, rows, start)
    if as_json:
        typer.echo(json.dumps([_readable(described, row) for row in rows], indent=2, ensure_ascii=False, default=str))
        return
    show_board(described, rows)
    talk.print(f"Done. ROWS={len(rows)}  from {sink.value}\nNext: gamestream reconcile --board {name}")


def _dim(sentence: str) -> None:
    talk.print(Text(sentence, style="dim"))


def _show_run(run: ReconciliationRun, report: str) -> None:
    if run.verdict.value == "COULD_NOT_RUN":
        talk.print(Text(f"Could not run: {run.reason}", style="yellow"))
        silent = [name for one in run.topics if not one.looked for name in one.about]
        about = f"nothing is said about {', '.join(silent)}" if len(silent) < len(run.descriptions) else _NOTHING
        talk.print(f"COULD_NOT_RUN: {about}.")
        talk.print(f"Done. report: {report}   file: {run.report_path}", soft_wrap=True)
        return
    for proof in run.topics:
        _show_cuts(proof)
    data.print(
        f"rows     {run.rows_compared} compared, {run.rows_equal} equal, {run.rows_different} differ, "
        f"{run.rows_unexplained} unexplained"
        + (f"   ({run.unconfirmed} seen once and gone at the next checkpoint)" if run.unconfirmed else "")
    )
    for sentence in run.left_out:
        data.print(Text(f"         {sentence}", style="yellow"))
    for difference in run.differences:
        data.print(_difference_line(difference))
    for ledger in run.ledgers:
        _show_ledger(ledger, named=len(run.topics) > 1)
    refused = {one.row for one in run.differences if not one.accepted}
    warn = run.rows_different - len(refused)
    data.print(
        Text.assemble(
            (run.verdict.value, _VERDICT_STYLES[run.verdict.value]),
            f"   PASS={run.rows_equal} WARN={warn} ERROR={len(refused)} "
            f"UNEXPLAINED={run.rows_unexplained} TOTAL={run.rows_compared}   {run.seconds:.1f} s",
        )
    )
    talk.print(f"Done. report: {report}   file: {run.report_path}", soft_wrap=True)
    talk.print(Text(f"Next: {_next(run)}"))


def _show_cuts(proof: TopicProof) -> None:
    from gamestream_dagster.reconciliation.model.cut import shown

    if not proof.looked:
        data.print(Text(f"topic    {proof.topic} could not be looked at: {proof.reason}", style="yellow"))
        return
    for job in proof.jobs:
        bound = f"checkpoint {job.checkpoint_id}" if job.checkpoint_id else "savepoint"
        data.print(f"cut      {bound}  {proof.topic} {shown(job.low)}   {job.job}")
    events = f"bracket of {proof.bracket_events:,} events"
    data.print(f"high     {shown(proof.high)}   {events}   topic {proof.topic_id or '?'}")
    if proof.holds_from:
        begins = shown(proof.holds_from)
        data.print(f"from     {begins}: the archive begins there, and nothing is said of what was before")


def _next(run: ReconciliationRun) -> str:
    """The command that helps most now."""
    if not run.differences:
        return "gamestream status"
    first = run.differences[0]
    if first.entity is None:
        return f"gamestream board {first.board}"
    who = shlex.quote(",".join(first.entity))
    return f"gamestream why {who} --board {first.board}   |   gamestream repair --dry-run"


def _difference_line(difference: Difference) -> Text:
    rank = f"#{difference.rank}" if difference.rank is not None else ""
    who = " / ".join(difference.entity or ())
    style = "yellow" if difference.accepted else "bold red"
    return Text.assemble(
        ("DIFF", style),
        f"     {difference.board} {rank}  {who}  {difference.kind.value}  {difference.explanation}   ",
        (difference.cause, style),
        f"  {_carriers(difference)}[{difference.sink.value}]\n         {runnable(difference.action)}",
    )


def _carriers(difference: Difference) -> str:
    """`2 events  p1@48811 p1@48830  `: the records that carry the cause."""
    total = difference.evidence.get("events_total", 0)
    if not total:
        return ""
    shown = " ".join(f"p{one['partition']}@{one['offset']}" for one in difference.evidence["events"][:3])
    return f"{total} event{'s' if total > 1 else ''}  {shown}{' ...' if total > 3 else ''}  "


def _show_ledger(balance: LedgerBalance, *, named: bool) -> None:
    of_topic = f"{balance.topic}  " if named else ""
    data.print(
        f"ledger   {of_topic}{balance.records:,} in = "
        f"{balance.accepted:,} accepted + {balance.duplicate:,} duplicate + "
        f"{balance.late:,} late + {balance.dead_lettered:,} dead-lettered   "
        + ("balanced" if balance.balanced else "NOT BALANCED")
    )
    if balance.reasons:
        data.print("         refused: " + ", ".join(f"{count:,} {reason}" for reason, count in balance.reasons.items()))
    if balance.remarks:
        data.print("         accepted with: " + ", ".join(f"{count:,} {one}" for one, count in balance.remarks.items()))
    for fault in balance.faults:
        data.print(Text("         " + fault.sentence, style="red"))


def show_board(described: Board, rows: list[Row]) -> None:
    """Print a board as a table."""
    table = Table(title=described.title, box=None, title_justify="left", title_style="bold")
    for name, column in described.columns.items():
        table.add_column(name, justify="left" if column.type.value in ("string", "timestamp") else "right")
    for row in rows:
        readable = _readable(described, row)
        table.add_row(
            *(
                Text(f"{cell:.4f}" if isinstance(cell, float) else "" if cell is None else str(cell))
                for cell in readable.values()
            )
        )
    print_table(table)


def _readable(described: Board, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, column in described.columns.items():
        value = row[name]
        if column.type.value == "timestamp" and isinstance(value, int):
            value = datetime.fromtimestamp(value / 1000, UTC).isoformat()
        found[name] = value
    return found


def _run_data(run: ReconciliationRun) -> dict[str, Any]:
    from gamestream_dagster.reconciliation.results.store import difference_data

    return {
        "run_id": run.run_id,
        "mode": run.mode.value,
        "verdict": run.verdict.value,
        "reason": run.reason,
        "started_at": run.started_at.isoformat(),
        "seconds": round(run.seconds, 3),
        "rows_compared": run.rows_compared,
        "rows_equal": run.rows_equal,
        "rows_different": run.rows_different,
        "rows_unexplained": run.rows_unexplained,
        "unconfirmed": run.unconfirmed,
        "bracket_events": run.bracket_events,
        "topics": [_proof_data(proof) for proof in run.topics],
        "boards": [
            {
                "board": one.board,
                "sink": one.sink.value,
                "rows_compared": one.rows_compared,
                "rows_different": one.rows_different,
                "as_of": one.as_of,
            }
            for one in run.boards
        ],
        "differences": [difference_data(difference) for difference in run.differences],
        "report": str(run.report_path),
    }


def _proof_data(proof: TopicProof) -> dict[str, Any]:
    from gamestream_dagster.reconciliation.results.store import ledger_data

    return {
        "topic": proof.topic,
        "verdict": proof.verdict.value,
        "reason": proof.reason,
        "jobs": [
            {
                "job": job.job,
                "flink_job_id": job.flink_job_id,
                "fingerprint": job.fingerprint,
                "checkpoint_id": job.checkpoint_id,
                "low": {str(part): at for part, at in sorted(job.low.items())},
            }
            for job in proof.jobs
        ],
        "bracket_events": proof.bracket_events,
        "topic_id": proof.topic_id,
        "holds_from": {str(part): at for part, at in sorted(proof.holds_from.items())},
        "archive_head": proof.archive_head,
        "high": {str(part): at for part, at in sorted(proof.high.items())},
        "ledger": None if proof.ledger is None else ledger_data(proof.ledger),
    }
