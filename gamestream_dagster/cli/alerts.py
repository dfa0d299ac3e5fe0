"""`gamestream alerts`: the alerts and their states, their tests, silences, and the export for Prometheus."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli import alerts_drill, alerts_output, panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from sqlalchemy import Connection


talk = Talk(stderr=True)
STALE_SECONDS = 300.0
_MISSING = ("42P01", "42703")  # SQLSTATE of a table and of a column that is not there

alerts = typer.Typer(no_args_is_help=True, help="Alerts: what is firing, tests, silences, and files for Prometheus.")

Name = Annotated[str | None, typer.Argument(help="Of the alert, as `gamestream alerts list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    alerts.command("drill")(alerts_drill.drill)
    app.add_typer(alerts, name="alerts", rich_help_panel=panels.QUALITY)


@alerts.command("list")
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are ok.")] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Show each alert that is not ok, with its value. Exit code 1 if one is firing."""
    from gamestream_dagster.alerts.overview import overview
    from gamestream_dagster.alerts.rules import load_book

    settings = settings_from(home, port_base)
    with as_could_not_run():
        book = load_book(settings.home)
    with _connection(home, port_base) as connection:
        seen = overview(connection, book)
    lines = [line for line in seen.lines if everything or line.state != "ok"]
    if as_json:
        _write({"evaluated_at": alerts_output.moment(seen.evaluated_at), "waiting": seen.waiting,
                "alerts": [line.as_data() for line in lines]})  # fmt: skip
    else:
        alerts_output.print_lines(lines)
    _say_age(seen.evaluated_at)
    for route, count in seen.waiting.items():
        variable = next((one.address_in for one in book.routes if one.name == route), "")
        talk.print(f"{count} messages of the route {route} wait; its address is read from {variable} (docs/alerts.md).")
    firing = sum(line.state == "firing" for line in seen.lines)
    silenced = sum(line.state == "silenced" for line in seen.lines)
    talk.print(f"Done. FIRING={firing} SILENCED={silenced} TOTAL={len(seen.lines)}")
    if firing:
        raise typer.Exit(1)


@alerts.command("test")
def run_tests(
    name: Name = None,
    file: Annotated[Path | None, typer.Option("--file", help="File of cases (default: ours).")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run each rule over made-up series and compare its states. Needs no server. Exit code 1 if one is wrong."""
    from gamestream_dagster.alerts.cases import load_cases, run_case
    from gamestream_dagster.alerts.rules import FOLDER, load_book

    settings = settings_from(home)
    with as_could_not_run():
        book = load_book(settings.home)
        if name is not None:
            book.rule(name)
        cases = [case for case in load_cases(file or FOLDER / "cases.yaml") if name in (None, case.rule)]
        outcomes = [run_case(case, book) for case in cases]
    tested = {case.rule for case in cases}
    untested = [rule.name for rule in book.rules if rule.condition and rule.name not in tested and name is None]
    if as_json:
        found = [{"rule": one.case.rule, "says": one.case.says, "wrong": list(one.wrong)} for one in outcomes]
        _write({"cases": found, "untested": untested})
    for outcome in outcomes:
        for sentence in outcome.wrong:
            talk.print(sentence)
    if untested:
        talk.print(f"No case tests {', '.join(untested)}.")
    wrong = sum(not one.passed for one in outcomes)
    talk.print(f"Done. PASS={len(outcomes) - wrong} FAIL={wrong} UNTESTED={len(untested)} TOTAL={len(outcomes)}")
    if wrong or not outcomes:
        raise typer.Exit(1)


@alerts.command()
def silence(  # noqa: PLR0917 - Typer reads the options from the signature
    name: Name = None,
    lasts: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 3d; at most 30d.")] = "2h",
    reason: Annotated[str, typer.Option("--reason", help="Why; the next person reads it.")] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Only with this label, name=value; each once.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="End the silence of this id.")] = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Silence an alert for a time, end a silence, or (without a name) list those in force."""
    from gamestream_dagster.alerts.rules import load_book
    from gamestream_dagster.alerts.silences import end_silence, in_force
    from gamestream_dagster.alerts.silences import silence as begin

    settings = settings_from(home, port_base)
    if name is not None and end is not None:
        raise CouldNotRun("Give a name to begin a silence, or --end with its id to end one, not both.")
    labels = dict(_pair(one) for one in label or [])
    with as_could_not_run():
        if name is not None:
            load_book(settings.home).rule(name)
        duration = _duration(lasts)
        with _connection(home, port_base) as connection:
            if name is not None:
                found = [begin(connection, name, labels, duration, reason)]
                told = f"Done. {name} is silent until {found[0].ends_at:%Y-%m-%d %H:%M} UTC."
            elif end is not None:
                found = [end_silence(connection, end)]
                told = f"Done. The silence {end} has ended; an alert that is active is announced within a minute."
            else:
                found = list(in_force(connection))
                told = f"{len(found)} silences." if found else "No silence is in force."
    if as_json:
        _write([alerts_output.silence_data(one) for one in found])
    else:
        alerts_output.print_silences(found)
    talk.print(told)


@alerts.command()
def backtest(  # noqa: PLR0917 - Typer reads the options from the signature
    since: Annotated[str, typer.Option("--from", help="First minute: ISO with zone, such as 2026-11-01T00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="Last minute (default: now).")] = None,
    incidents: Annotated[
        Path | None, typer.Option("--incidents", help="YAML file of what did happen: precision and recall.")
    ] = None,
    at_least: Annotated[
        float, typer.Option("--at-least", min=0, max=1, help="Exit code 1 below this precision or recall.")
    ] = 0.0,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Show what the rules would have said about the past, by the ledger and the proofs; nobody is told."""
    from gamestream_dagster.alerts.backtest import backtest as run
    from gamestream_dagster.alerts.backtest import incidents_of, score, untried
    from gamestream_dagster.alerts.rules import load_book
    from gamestream_dagster.monitoring.history import PAST_SERIES, past_samples

    settings = settings_from(home, port_base)
    begin, end = _instant("--from", since), _instant("--to", until) if until else time.time()
    if end <= begin:
        raise CouldNotRun("--to is not after --from; change one of the two.")
    with as_could_not_run():
        book = load_book(settings.home)
        known = incidents_of(_yaml(incidents), incidents.name, book) if incidents else []
        with _connection(home, port_base) as connection:
            samples = list(past_samples(connection, settings, begin - max(book.kept.values(), default=0.0), end))
        missing = untried(book, PAST_SERIES)
        tried = book.model_copy(update={"rules": tuple(one for one in book.rules if missing.get(one.name) == ())})
        episodes = run(tried, samples, begin - begin % 60, end)
    found = score(episodes, known)
    if as_json:
        _write(alerts_output.backtest_data(episodes, found, missing))
    else:
        alerts_output.print_episodes(episodes)
    names = sorted(name for name, series in missing.items() if series)
    talk.print(f"Not tried, since the stack keeps no past of their series: {', '.join(names)}.")
    if not known:
        talk.print(f"Done. EPISODES={len(episodes)} RULES={len(tried.rules)}")
        return
    for incident in found.missed:
        talk.print(f"Nobody would have been told of {incident.name} ({', '.join(incident.rules)}).")
    precision, recall = found.precision, found.recall
    shares = f"PRECISION={alerts_output.share(precision)} RECALL={alerts_output.share(recall)}"
    counts = f"FALSE={len(found.false)} MISSED={len(found.missed)} INCIDENTS={len(known)}"
    talk.print(f"Done. {shares} EPISODES={len(episodes)} {counts}")
    if min(precision if precision is not None else 1.0, recall if recall is not None else 1.0) < at_least:
        raise typer.Exit(1)


@alerts.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("alerts"),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write Prometheus rules, promtool tests and Alertmanager routes."""
    from gamestream_dagster.alerts.cases import load_cases
    from gamestream_dagster.alerts.export import RULES_FILE, write
    from gamestream_dagster.alerts.rules import load_book

    settings = settings_from(home)
    with as_could_not_run():
        paths = write(out, load_book(settings.home), load_cases())
    if as_json:
        _write([str(path) for path in paths])
    else:
        sys.stdout.writelines(f"{path}\n" for path in paths)
    talk.print(f"Next: promtool check rules {out / RULES_FILE}; promtool test rules {out}/*.tests.yml")


@contextmanager
def _connection(home: Path | None, port_base: int | None) -> Iterator[Connection]:
    from sqlalchemy.exc import ProgrammingError

    from gamestream_dagster.clients.postgres import open_engine

    try:
        with open_engine(settings_from(home, port_base)) as engine, engine.begin() as connection:
            yield connection
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _MISSING:
            raise
        raise CouldNotRun("The tables of the alerts are missing; create them with `gamestream apply`.") from error


def _say_age(evaluated_at: float | None) -> None:
    if evaluated_at is None:
        talk.print(
            "The rules were never evaluated: Dagster's sensor alert_rules does it each minute; see `gamestream status`."
        )
    elif time.time() - evaluated_at > STALE_SECONDS:
        talk.print(
            f"Mind: the rules were last evaluated at {alerts_output.moment(evaluated_at)}; see `gamestream status` and "
            "the sensor alert_rules in Dagster."
        )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise CouldNotRun(f"--label {text!r} is no label; write it as name=value, such as flink_job=leaderboards_v1.")
    return name, value


def _duration(text: str) -> timedelta:
    from gamestream_dagster.alerts.cases import seconds_of

    try:
        return timedelta(seconds=seconds_of(text))
    except (ValueError, OverflowError) as error:
        raise CouldNotRun(f"--for {text!r} is no duration; write 30m, 2h or 3d.") from error


def _instant(option: str, text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CouldNotRun(f"{option} {text!r} is no time; write 2026-11-01T00:00Z.") from error
    if at.tzinfo is None:
        raise CouldNotRun(f"{option} {text!r} has no zone; add Z for UTC.")
    return at.timestamp()


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CouldNotRun(f"{path} cannot be read ({error.strerror}); give the path of a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CouldNotRun(f"{path} is no YAML ({' '.join(str(error).split())}); correct it.") from error


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
