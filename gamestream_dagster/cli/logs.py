"""`gamestream logs`: log lines into Kafka, and the rules that look at them; `gamestream simulate logs`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
import typer.main
from typer.core import TyperCommand

from gamestream_dagster.cli.events import start_millis
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

talk = Talk(stderr=True)
STDIN = "-"


class LogsCommand(TyperCommand):
    """`gamestream logs SERVICE`, beside `gamestream logs ship` and `gamestream logs rules`."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """That of the command that the first argument names, else its own."""
        if args and args[0] in (found := _commands()):
            return found[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _commands() -> dict[str, Any]:
    group = typer.Typer()
    group.command("ship")(ship)
    group.command("rules")(rules)
    return cast("Any", typer.main.get_command(group)).commands


def ship(  # noqa: PLR0917 - Typer reads the options from the signature
    file: Annotated[str, typer.Argument(help="Log file, or - for stdin.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")] = False,
    position: Annotated[
        Path | None,
        typer.Option(help="File that keeps how far it got (default under the home).", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Key of lines that name no machine; default: this one.", show_default=False)
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic that takes the lines.")] = "logs",
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Ship the lines of a log that were not shipped before. A renamed or emptied file is noticed."""
    if file == STDIN and (follow or position is not None):
        raise CouldNotRun("--follow and --position are for a file; leave them out with -.")
    settings = settings_from(home, port_base)
    from gamestream_dagster.security.shipping import ship_file, ship_stdin

    with as_could_not_run():
        if file == STDIN:
            shipped = ship_stdin(settings, sys.stdin.buffer, topic=topic, host=host)
        else:
            shipped = ship_file(settings, Path(file), follow=follow, position=position, topic=topic, host=host)
    if as_json:
        sys.stdout.write(json.dumps(vars(shipped)) + "\n")
    if shipped.replaced:
        talk.print(
            "Another file stands where the one of the last run was, and that one is gone: this one was shipped from "
            "its start, and what was appended to the former one since is missing.",
            soft_wrap=True,
        )
    cut = f" CUT={shipped.cut}" if shipped.cut else ""
    ended = "Stopped" if shipped.interrupted else "Done"
    talk.print(f"{ended}. LINES={shipped.lines}{cut} FROM_BYTE={shipped.resumed_at}", soft_wrap=True)
    if shipped.interrupted:
        raise typer.Exit(130)


def rules(
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder with Sigma files; default: the packaged ones.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the rules as Flink SQL into flink_sql/_sources/ssh_rules.sql.")
    ] = False,
) -> None:
    """List the rules; with --write compile them for the job security_v1."""
    from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
    from gamestream_dagster.security.flink_rules import RULES_FILE, ssh_rules_sql
    from gamestream_dagster.security.sigma import RULES_DIR, load_rules

    with as_could_not_run():
        loaded = load_rules(folder or RULES_DIR)
        sql = ssh_rules_sql(loaded)
    for rule in loaded.values():
        sys.stdout.write(f"{rule.level:<14} {rule.name:<28} {rule.title}\n")
    if write:
        path = FLINK_SQL_DIR / "_sources" / RULES_FILE
        path.write_text(sql, encoding="utf-8")
        talk.print(f"wrote {path}; next: gamestream jobs plan security_v1", soft_wrap=True)


def simulate_logs(
    out: Annotated[Path, typer.Argument(help="File for the lines; the labels go to FILE.labels.jsonl.")],
    lines: Annotated[int, typer.Option(min=1, help="How many lines.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same lines.")] = 1,
    start: Annotated[
        str | None, typer.Option(help="Time of the first line (ISO, UTC); default: now.", show_default=False)
    ] = None,
) -> None:
    """Write a made-up log of SSH servers, with the expected outcome of each line in a second file."""
    import orjson

    from gamestream_dagster.security.simulation import LogOptions, labelled_lines

    labels = out.with_name(f"{out.name}.labels.jsonl")
    options = LogOptions(seed=seed, start_ms=start_millis(start), lines=lines)
    with out.open("w", encoding="utf-8") as log, labels.open("wb") as told:
        for line in labelled_lines(options):
            log.write(line.text + "\n")
            told.write(orjson.dumps({name: value for name, value in vars(line).items() if name != "text"}) + b"\n")
    talk.print(f"wrote {out} and {labels}; next: gamestream logs ship {out}", soft_wrap=True)
