"""`gamestream simulate --abuse`: labelled abuse among honest players, as game events into Kafka."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun, as_could_not_run
from gamestream_dagster.cli.simulated import explicit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
_OPTIONS: Final = {"abuse", "players", "seed", "start", "truth", "no_truth", "topic", "home", "port_base", "as_json"}


def simulate_abuse(context: typer.Context, settings: Settings, given: Mapping[str, Any], start_ms: int) -> None:
    """Send the cases that the options of `gamestream simulate` ask for."""
    from pydantic import ValidationError

    from gamestream_dagster.events.abuse_play import AbuseOptions
    from gamestream_dagster.events.abuse_simulation import simulate_abuse as run

    if others := explicit(context, given.keys() - _OPTIONS):
        raise CouldNotRun(f"{others[0]} does not go with --abuse; leave it out.")
    if given["no_truth"] and given["truth"]:
        raise CouldNotRun("--truth and --no-truth exclude each other; give one of them.")
    known = {name: given[name] for name in ("players", "seed") if given.get(name) is not None}
    try:
        options = AbuseOptions(start_ms=start_ms, **known)
    except ValidationError as error:
        found = error.errors()[0]
        raise CouldNotRun(f"--{found['loc'][0]}: {found['msg']}.") from error
    truth: Path | None = None
    if not given["no_truth"]:
        truth = given["truth"] or settings.home / "truth" / f"abuse-{options.base_ms}-{options.seed}.json"
    with as_could_not_run():
        result = run(settings, options, truth=truth, topic=given["topic"])
    if given["as_json"]:
        told = {"sent": result.sent, "truth": str(result.truth) if result.truth else None}
        sys.stdout.write(json.dumps({**told, "interrupted": result.interrupted}) + "\n")
    talk.print(f"{'Stopped' if result.interrupted else 'Done'}. SENT={result.sent}  {result.seconds:.1f} s")
    if result.truth:
        talk.print(f"truth: {result.truth}", soft_wrap=True)
    talk.print('Next: gamestream psql -c "SELECT * FROM abuse_velocity"')
    if result.interrupted:
        raise typer.Exit(130)
