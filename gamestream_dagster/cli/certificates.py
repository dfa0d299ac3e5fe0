"""`gamestream season close` and `gamestream certificate make | verify`: boards that stay, and what proves them."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.dagster_link import report, seasons_event
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.certificates.certificate import Certificate
    from gamestream_dagster.settings import Settings

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command groups."""
    seasons = typer.Typer(help="Boards of seasons: list them, archive those that have ended.", no_args_is_help=True)
    seasons.command("list")(list_seasons)
    seasons.command("close")(close)
    app.add_typer(seasons, name="season", rich_help_panel=panels.PROOF)
    certificates = typer.Typer(help="Certificates: the proof of a board or an experiment.", no_args_is_help=True)
    certificates.command("make")(make)
    certificates.command("verify")(verify)
    app.add_typer(certificates, name="certificate", rich_help_panel=panels.PROOF)


def list_seasons(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """List the seasons that the boards hold, newest first, and whether each is closed."""
    from gamestream_dagster.reconciliation.certificates.season_list import seasons_of

    settings = settings_from(home, port_base)
    with as_could_not_run():
        found = seasons_of(settings)
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    table = Table("SEASON", "FROM", "UNTIL", "STATUS", "BOARDS", box=None, pad_edge=False)
    for one in found:
        state = "CLOSED" if one.closed == one.boards else "OPEN"
        boards = f"{', '.join(sorted(one.boards))}" + (f" (closed: {len(one.closed)})" if state == "OPEN" else "")
        table.add_row(one.span.label, _time(one.span.start), _time(one.span.end), state, boards)
    print_table(table)
    left = sum(one.closed != one.boards for one in found)
    talk.print(f"Done. SEASONS={len(found)} OPEN={left}\nNext: gamestream season close")


def _time(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def close(
    board: Annotated[list[str] | None, typer.Option(help="Only this board; may be given more than once.")] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Archive the recomputed rows although the job's rows differ.")
    ] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Archive the seasons that have ended, each with its certificate.

    Exit codes: 0 all are closed; 1 one could not be closed; 2 nothing could be read.
    """
    from gamestream_dagster.reconciliation.certificates.seasons import close_seasons

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("closing seasons") as status:
        found = close_seasons(settings, board, anyway=anyway, say=status.update)
    report(settings, seasons_event(found), talk.print)
    if as_json:
        told = [{"board": o.board, "season_id": o.span.label, "closed": o.done, "news": o.news} for o in found]
        typer.echo(json.dumps(told, indent=2))
    else:
        for one in found:
            data.print(Text(f"{'CLOSED' if one.done else 'OPEN':7} {one.board}  {one.span.label}  {one.news}"))
        left = sum(not one.done for one in found)
        talk.print(f"Done. CLOSED={len(found) - left} OPEN={left}")
        if done := next((one for one in found if one.done), None):
            talk.print(f"Next: gamestream certificate make --board {done.board} --season {done.span.label}")
    raise typer.Exit(0 if all(one.done for one in found) else 1)


def make(
    board: Annotated[str, typer.Option(help="Name of the board.")] = "top_players",
    season: Annotated[str | None, typer.Option(help="Start of a closed season, such as 2026-11-21.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; default: to stdout.")] = None,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Write a certificate of a closed season, or of an all-time board when no events arrive."""
    settings = settings_from(home, port_base)
    with as_could_not_run():
        made = _of_season(settings, board, season) if season else _of_all_time(settings, board).model_dump(mode="json")
    text = json.dumps(made, indent=2, ensure_ascii=False)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CouldNotRun(f"{out} cannot be written ({error.strerror}); name another file with --out.") from error
    following = f"gamestream certificate verify {shlex.quote(str(out))}"
    talk.print(Text(f"Done. ROWS={len(made['rows'])} VERDICT={made['verdict']}\nNext: {following}"))


def verify(
    file: Annotated[Path, typer.Argument(help="The certificate.")],
    players: Annotated[
        Path | None, typer.Option("--data", help="File of an experiment's players; default: beside the certificate.")
    ] = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate: recompute a board from the archive, an experiment from its data; scan for an erased player.

    Exit codes: 0 it agrees; 1 it does not; 2 it could not be recomputed.
    """
    from gamestream_dagster.experiments.certificate import is_experiment
    from gamestream_dagster.privacy.certificate import is_erase

    if is_erase(file):
        _verify_erase(settings_from(home, port_base), file, as_json=as_json)
    if is_experiment(file):
        _verify_experiment(settings_from(home, port_base), file, players, as_json=as_json)
    from gamestream_dagster.reconciliation.certificates.certificate import Part, emptied_since, read_certificate
    from gamestream_dagster.reconciliation.certificates.certificate import verify as disagreements

    settings = settings_from(home, port_base)
    with as_could_not_run():
        certificate = read_certificate(file)
        found = disagreements(settings, certificate)
        emptied = emptied_since(settings, certificate)
    if as_json:
        typer.echo(json.dumps([{"part": one.part.value, "sentence": one.sentence} for one in found], indent=2))
    else:
        for one in found:
            data.print(Text(f"{one.part.value:8} {runnable(one.sentence)}"))
        season = f" of {certificate.season_id}" if certificate.season_id else ""
        word = "does not agree" if found else "agrees"
        talk.print(f"Done. {certificate.board}{season} {word}: DISAGREEMENTS={len(found)} ROWS={len(certificate.rows)}")
        if emptied:
            talk.print(
                f"{emptied} archived records were emptied by an erase since: file, SQL and log were compared, and the "
                "rows cannot be recomputed."
            )
        if certificate.topic_id is None:
            talk.print(
                "The certificate does not say which incarnation of the topic it is of: verified by contents alone."
            )
    unknown = any(one.part in {Part.OFFSETS, Part.TOPIC} for one in found)
    raise typer.Exit(2 if unknown else int(bool(found)))


def _verify_experiment(settings: Settings, file: Path, players: Path | None, *, as_json: bool) -> NoReturn:
    from gamestream_dagster.experiments.certificate import UNKNOWN, read_experiment_certificate, verify_experiment

    with as_could_not_run(), talk.status("recomputing"):
        certificate = read_experiment_certificate(file)
        found = verify_experiment(certificate, settings, file.parent, players)
    if as_json:
        typer.echo(json.dumps([{"part": one.part.value, "sentence": one.sentence} for one in found], indent=2))
    else:
        for one in found:
            data.print(Text(f"{one.part.value:8} {runnable(one.sentence)}"))
        word = "does not agree" if found else "agrees"
        counts = f"DISAGREEMENTS={len(found)} PLAYERS={certificate.readout.players}"
        talk.print(Text(f"Done. {certificate.plan.experiment} {word}: {counts}"))
    raise typer.Exit(2 if any(one.part in UNKNOWN for one in found) else int(bool(found)))


def _verify_erase(settings: Settings, file: Path, *, as_json: bool) -> NoReturn:
    from gamestream_dagster.privacy.certificate import read_erase_certificate
    from gamestream_dagster.privacy.certificate import verify as scan_again

    with as_could_not_run(), talk.status("scanning every store"):
        certificate = read_erase_certificate(file)
        found = scan_again(settings, certificate)
    if as_json:
        typer.echo(json.dumps([{"part": one.part.value, "sentence": one.sentence} for one in found], indent=2))
    else:
        for one in found:
            data.print(Text(f"{one.part.value:10} {runnable(one.sentence)}"))
        waits = f" CLEAN_AT={certificate.clean_at:%Y-%m-%d}" if certificate.clean_at else ""
        word = "does not agree" if found else "agrees"
        counts = f"DISAGREEMENTS={len(found)} PLACES={len(certificate.places)}{waits}"
        talk.print(Text(f"Done. The erase of request {certificate.request} {word}: {counts}"))
    raise typer.Exit(int(bool(found)))


def _of_season(settings: Settings, board: str, season: str) -> dict[str, Any]:
    from gamestream_dagster.catalogue.seasons import season_named
    from gamestream_dagster.clients.postgres import open_engine
    from gamestream_dagster.reconciliation.certificates.seasons import stored_certificate

    span = season_named(settings.season, season)
    with open_engine(settings) as engine:
        found = stored_certificate(engine, board, span)
    if found is None:
        raise CouldNotRun(
            f"Season {span.label} of {board!r} is not closed; close what has ended: gamestream season close"
        )
    return found


def _of_all_time(settings: Settings, name: str) -> Certificate:
    from gamestream_dagster.catalogue.boards import load_boards
    from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
    from gamestream_dagster.reconciliation.certificates.certificate import Proof, certify
    from gamestream_dagster.reconciliation.model.values import Mode, Verdict
    from gamestream_dagster.reconciliation.recompute.factory import open_recompute
    from gamestream_dagster.reconciliation.run import reconcile

    boards = load_boards(season=settings.season)
    if name not in boards:
        raise CouldNotRun(f"There is no board {name!r}; the boards are: {', '.join(boards)}.")
    board = boards[name]
    if board.season_column is not None:
        raise CouldNotRun(f"{name} has seasons; name a closed one with --season.")
    if board.window is not None:
        raise CouldNotRun(f"{name} shows a moving window, which no certificate holds; choose a board of sums.")
    with talk.status("reconciling") as status:
        run = reconcile(settings, Mode.DRAINED, [name], say=status.update)
    if run.verdict is Verdict.COULD_NOT_RUN:
        raise CouldNotRun(run.reason)
    found = run.only
    proof = Proof(run.run_id, run.verdict.value, found.jobs[0].fingerprint, found.topic_id)
    source = source_of_board(board, stack_sources(settings))
    with open_recompute(settings, source) as archive:
        return certify(archive, source, archive.at(found.high), board, proof)
