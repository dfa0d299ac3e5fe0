"""The dry run of the jobs and their history, for the UI."""

import dagster as dg
from pydantic import Field

from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.flink_jobs import FlinkJobs
from gamestream_dagster.settings import load_settings

_SHOWN = 10


class PlanConfig(dg.Config):
    """The plan to show."""

    choice: Choice = Field(default=Choice.NONE, description="As in the config of a materialisation.")
    jobs: list[str] = Field(default=[], description="Names of jobs; none: all.")


@dg.op(description="The very plan that a materialisation with this choice would carry out; changes nothing.")
def show_plans(context: dg.OpExecutionContext, config: PlanConfig, flink_jobs: dg.ResourceParam[FlinkJobs]) -> None:
    """One row per job with its steps, and its deployments."""
    metadata: dict[str, dg.MetadataValue] = {}
    rows: list[tuple[str, str, str, str, str]] = []
    kept = load_settings()
    for name in config.jobs or list(load_jobs(season=kept.season, ranks=kept.ranks)):
        with explained(f"plan the job {name}", job=name):
            made = flink_jobs.plan(name, choice=config.choice)
            past = flink_jobs.history(name, _SHOWN)
        steps = ", ".join(type(step).__name__ for step in made.steps)
        rows.append((name, made.decision.value, made.reason, steps, " | ".join(made.choices)))
        metadata[f"history of {name}"] = markdown_table(
            ("generation", "fingerprint", "state", "outcome", "submitted", "for", "from"),
            [
                (
                    *(one.generation, one.fingerprint[:8], one.state.value, one.outcome or ""),
                    *(str(one.submitted_at or ""), one.trigger, one.restore_path or "the earliest offset"),
                )
                for one in past
            ],
        )
    plans = markdown_table(("job", "decision", "why", "steps", "decide with"), rows)
    context.add_output_metadata({"plans": plans, **metadata})


@dg.job(description="Dry run: what would be done about each job, and its history.", tags={"gamestream/part": "plan"})
def plan_jobs() -> None:
    """The op alone."""
    show_plans()
