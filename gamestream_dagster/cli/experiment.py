"""`gamestream experiment`: the readout of an experiment, and its certificate."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.experiments.certificate import ExperimentCertificate
    from gamestream_dagster.experiments.plan import Plan
    from gamestream_dagster.experiments.readout import ArmRead, Readout
    from gamestream_dagster.settings import Settings

_PLANS = {".yaml", ".yml"}

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=panels.QUALITY)(experiment)


def experiment(
    source: Annotated[
        Path, typer.Argument(help="CSV (also .gz) of players, or a plan (.yaml) of players from the archive.")
    ],
    *,
    plan: Annotated[
        Path | None, typer.Option(help="Frozen plan of a CSV: variants, metrics, horizon. Default: equal shares.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Version to compare with, without a plan; default: the first by name.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Write the certificate of the readout to this file.")] = None,
    as_json: AsJson = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Compare the arms of an experiment: counts, sample ratio, differences with intervals, corrected p-values.

    Exit codes: 0 read, or too early; 1 blocked by a sample ratio mismatch; 2 could not run.
    """
    from gamestream_dagster.experiments.readout import Status
    from gamestream_dagster.experiments.sentence import sentence

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("reading"):
        if source.suffix.lower() in _PLANS:
            made = _from_archive(settings, source, plan, control)
        else:
            made = _from_file(source, plan, control)
    told = sentence(made.readout, made.plan)
    if certificate is not None:
        _write(made, certificate)
    if as_json:
        typer.echo(json.dumps(_as_data(made, told), indent=2, ensure_ascii=False))
    else:
        _print(made.readout, made.plan)
        data.print(Text(told))
    _done(made, certificate, source)
    raise typer.Exit(int(made.readout.status is Status.BLOCKED))


def _from_file(source: Path, plan: Path | None, control: str | None) -> ExperimentCertificate:
    from gamestream_dagster.experiments.certificate import certify_file
    from gamestream_dagster.experiments.plan import load_plan
    from gamestream_dagster.experiments.player_file import PlayerFile, plan_of_file

    if plan is not None and control is not None:
        raise CouldNotRun("The plan names the control; leave out --control, or --plan.")
    file = PlayerFile(source)
    found = load_plan(plan) if plan is not None else plan_of_file(file, control)
    return certify_file(file, found, datetime.now(UTC))


def _from_archive(settings: Settings, source: Path, plan: Path | None, control: str | None) -> ExperimentCertificate:
    from gamestream_dagster.experiments.certificate import certify_archive
    from gamestream_dagster.experiments.plan import load_plan

    if plan is not None or control is not None:
        raise CouldNotRun(f"{source} is the plan, which names the control; leave out --plan and --control.")
    return certify_archive(settings, load_plan(source))


def _as_data(made: ExperimentCertificate, told: str) -> dict[str, Any]:
    content = made.model_dump(mode="json")
    kept = {name: content[name] for name in ("plan", "plan_digest", "file", "cut", "libraries") if content[name]}
    return {"sentence": told, **content["readout"], **kept}


def _write(made: ExperimentCertificate, path: Path) -> None:
    text = json.dumps(made.model_dump(mode="json"), indent=2, ensure_ascii=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CouldNotRun(f"{path} cannot be written ({error.strerror}); name another file.") from error


def _done(made: ExperimentCertificate, path: Path | None, source: Path) -> None:
    readout = made.readout
    waiting = f" WAITING={readout.waiting}" if made.cut is not None else ""
    left_out = f"CROSSOVERS={readout.crossovers}{waiting}"
    counts = f"PLAYERS={readout.players} {left_out} PLAN={made.plan_digest[:12]}"
    talk.print(Text(f"Done. {readout.status} SRM={readout.split.status} {counts}"))
    if path is not None:
        beside = made.file is None or path.parent.resolve() == source.parent.resolve()
        where = "" if beside else f" --data {shlex.quote(str(source))}"
        talk.print(Text(f"Next: gamestream certificate verify {shlex.quote(str(path))}{where}"))


def _print(readout: Readout, plan: Plan) -> None:
    from gamestream_dagster.experiments.sentence import p_text

    arms = Table("ARM", "PLAYERS", "SHARE", "PLANNED", *(name for name in plan.metrics), box=None, pad_edge=False)
    for arm in readout.arms:
        values = [_value(arm, name) for name in plan.metrics]
        arms.add_row(arm.variant, f"{arm.players:,}", f"{arm.share:.2%}", f"{arm.planned_share:.2%}", *values)
    print_table(arms)
    split = readout.split
    data.print(
        Text(
            f"\nSRM {split.status}: chi-square {split.chi_square:.2f}, p {p_text(split.p_value)}, "
            f"deviation {split.deviation:.2%}; {readout.crossovers:,} players in several arms left out\n"
        )
    )
    if readout.comparisons:
        _print_comparisons(readout, plan)
    for note in readout.notes:
        data.print(Text(f"Note: {note}"))


def _print_comparisons(readout: Readout, plan: Plan) -> None:
    from gamestream_dagster.experiments.sentence import difference_text, interval_text, level_text, p_text

    titles = ("METRIC", "ROLE", "ARMS", "DIFFERENCE", f"{level_text(plan).upper()} INTERVAL", "P", "HOLM P", "")
    table = Table(*titles, box=None, pad_edge=False)
    for one in readout.comparisons:
        mark = "" if not one.significant else "better" if one.improves else "worse"
        table.add_row(
            one.metric,
            one.role.value,
            f"{one.variant} - {one.control}",
            difference_text(one, plan),
            interval_text(one, plan),
            p_text(one.p_value),
            p_text(one.holm_p_value),
            one.note or mark,
        )
    print_table(table)
    data.print()


def _value(arm: ArmRead, metric: str) -> str:
    found = arm.metrics.get(metric)
    if found is None:
        return "hidden"
    if found.rate is not None:
        return f"{found.successes or 0:,} ({found.rate:.2%})"
    return f"{found.mean or 0.0:,.4g} (sd {found.standard_deviation or 0.0:,.4g})"
