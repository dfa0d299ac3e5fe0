"""`gamestream simulate --regions`: players of three regions, as game events into Kafka."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun, as_could_not_run
from gamestream_dagster.cli.progress import progress
from gamestream_dagster.cli.simulated import explicit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gamestream_dagster.events.simulation import SimulationResult
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
RATE: Final = 10.0  # an event every 100 ms
_OPTIONS: Final = {
    "regions", "rate", "events", "duration", "players", "seed", "start", "as_fast_as_possible", "truth", "no_truth",
    "topic", "home", "port_base", "as_json",
}  # fmt: skip


def simulate_regions(context: typer.Context, settings: Settings, given: Mapping[str, Any], start_ms: int) -> None:
    """Send the events that the options of `gamestream simulate` ask for."""
    from pydantic import ValidationError

    from gamestream_dagster.events.region_play import RegionOptions
    from gamestream_dagster.events.region_simulation import simulate_regions as run

    if others := explicit(context, given.keys() - _OPTIONS):
        raise CouldNotRun(f"{others[0]} does not go with --regions; leave it out.")
    if given["no_truth"] and given["truth"]:
        raise CouldNotRun("--truth and --no-truth exclude each other; give one of them.")
    known = {name: given[name] for name in RegionOptions.model_fields if given.get(name) is not None}
    if not explicit(context, {"rate"}):
        known["rate"] = RATE
    try:
        options = RegionOptions(start_ms=start_ms, **known)
    except ValidationError as error:
        found = error.errors()[0]
        raise CouldNotRun(f"--{str(found['loc'][0]).partition('_')[0]}: {found['msg']}.") from error
    truth: Path | None = None
    if not given["no_truth"]:
        truth = given["truth"] or settings.home / "truth" / f"regions-{start_ms}-{options.seed}.json"
    with as_could_not_run(), progress(talk, options.events, "events") as advance:
        result = run(
            settings,
            options,
            truth=truth,
            paced=not given["as_fast_as_possible"],
            topic=given["topic"],
            on_progress=lambda found: advance(found.sent, options.events),
        )
    _report(result, as_json=given["as_json"])


def _report(result: SimulationResult, *, as_json: bool) -> None:
    if as_json:
        found = {"sent": result.sent, **result.kinds, "seconds": round(result.seconds, 3)}
        truth = str(result.truth) if result.truth else None
        sys.stdout.write(json.dumps({**found, "truth": truth, "interrupted": result.interrupted}) + "\n")
    counts = " ".join(f"{kind}={count}" for kind, count in sorted(result.kinds.items()))
    stopped = "Stopped" if result.interrupted else "Done"
    talk.print(f"{stopped}. SENT={result.sent} {counts}  {result.seconds:.1f} s, {result.per_second:,.0f} events/s")
    if result.truth:
        talk.print(f"truth: {result.truth}", soft_wrap=True)
    talk.print("Next: gamestream topic tail game-events-enriched")
    if result.interrupted:
        raise typer.Exit(130)
