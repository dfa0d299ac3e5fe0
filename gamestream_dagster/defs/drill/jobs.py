"""The drill: fault injection on a sandbox stack, started by hand or by a release."""

import dagster as dg
from pydantic import Field

from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.drill import view
from gamestream_dagster.drill.model import DrillVerdict
from gamestream_dagster.resources.drill import Driller
from gamestream_dagster.resources.failures import explained


class DrillConfig(dg.Config):
    """What to run."""

    only: list[str] = Field(default=[], description="Names of scenarios; none: all. `gamestream drill --list`.")
    repeat: int = Field(default=1, ge=1, le=1000, description="How many times.")


@dg.op(description="Kill, corrupt and hang servers of the drill's own, and prove that every job comes back right.")
def play_drill(context: dg.OpExecutionContext, config: DrillConfig, driller: dg.ResourceParam[Driller]) -> None:
    """One drill; the matrix is its metadata. It fails when a scenario failed or could not run."""
    with explained("run the drill", retries=0):
        run, page = driller.drill(config.only, config.repeat, context.log.info)
    metadata = {
        "verdict": run.verdict.value,
        "matrix": markdown_table(view.COLUMNS, [row.cells for row in view.matrix(run)]),
        "times": "\n\n".join(view.times_line(one) for one in run.times) or "nothing was repeated",
        "report": dg.MetadataValue.url(driller.link(page)),
        "seconds": run.seconds,
    }
    if run.verdict is not DrillVerdict.HELD:
        reasons = [f"{one.name}: {why}" for one in run.results for why in (*one.reasons, one.could_not) if why]
        told = "; ".join([run.could_not, *reasons] if run.could_not else reasons)
        raise dg.Failure(f"The drill says {run.verdict.value}: {told}", metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


@dg.job(name="drill", description="Faults on servers of its own, about ten minutes.", tags={"gamestream/part": "drill"})
def drill() -> None:
    """The op alone."""
    play_drill()
