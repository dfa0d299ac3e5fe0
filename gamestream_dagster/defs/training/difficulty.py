"""The difficulty model: a partition for each Sunday, trained once its seven days are settled."""

from datetime import UTC, date, datetime

import dagster as dg

from gamestream_dagster.components.keys import DEFAULT_OWNER, DIFFICULTY_MODEL, Group, metric_key
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.training import Training

JOB, SENSOR, CHECK = "train_difficulty_model", "training_due", "better_than_naive"
INTERVAL_SECONDS = 600
SUNDAYS = dg.TimeWindowPartitionsDefinition(
    start=datetime(2023, 1, 1, tzinfo=UTC), cron_schedule="0 0 * * 0", fmt="%Y-%m-%d", timezone="UTC"
)


@dg.asset(
    key=DIFFICULTY_MODEL,
    description="What share of the attempts at a level will be completed, from the seven days before: trained on the "
    "30 days up to a Sunday, scored on the last seven. It is used only if nothing scores better (docs/training.md).",
    group_name=Group.TRAINING.value,
    owners=[DEFAULT_OWNER],
    kinds={"scikitlearn", "duckdb"},
    tags={"layer": "training"},
    partitions_def=SUNDAYS,
    deps=[dg.AssetDep(metric_key("level_features"), partition_mapping=dg.AllPartitionMapping())],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=DIFFICULTY_MODEL,
            description="The model predicts the held-out week better than the pass rate of the week before.",
        )
    ],
)
def difficulty_model(context: dg.AssetExecutionContext, training: dg.ResourceParam[Training]) -> dg.MaterializeResult:
    """Train, score, decide, and write model, card and page."""
    sunday = date.fromisoformat(context.partition_key)
    with explained(f"train the difficulty model of {sunday}"):
        version = training.train(sunday)
    card = version.card
    return dg.MaterializeResult(
        metadata={
            "decision": card.decision.value,
            "error": card.error,
            "naive_error": card.naive_error,
            "error_of_current": card.current_error if card.current_error is not None else "none",
            "trained_on": card.trained_on,
            "held_out": card.held_out,
            "model_sha256": card.sha256,
            "card": dg.MetadataValue.md((version.folder / "card.md").read_text(encoding="utf-8")),
        },
        data_version=dg.DataVersion(card.sha256),
        check_results=[
            dg.AssetCheckResult(
                asset_key=DIFFICULTY_MODEL,
                check_name=CHECK,
                passed=card.error < card.naive_error,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"Error {card.error:.4f}, naive {card.naive_error:.4f} ({card.decision.value}).",
            )
        ],
    )


training_job = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets(DIFFICULTY_MODEL),
    partitions_def=SUNDAYS,
    description="Train the difficulty model of a Sunday.",
    tags={"gamestream/part": "training"},
)


@dg.sensor(
    name=SENSOR,
    job=training_job,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Trains the difficulty model of the newest Sunday once its seven days are settled.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def training_due(
    context: dg.SensorEvaluationContext, training: dg.ResourceParam[Training]
) -> dg.RunRequest | dg.SkipReason:
    """Request the newest Sunday, each hour again if it failed."""
    from gamestream_dagster.training.train import last_sunday

    now = datetime.now(UTC)
    sunday = last_sunday(now.date())
    if training.has(sunday):
        return dg.SkipReason(f"The model of {sunday} is trained.")
    if lacks := training.lacks(sunday):
        return dg.SkipReason(f"The model of {sunday} waits: {lacks}")
    return dg.RunRequest(run_key=f"{sunday}:{now:%Y-%m-%dT%H}", partition_key=sunday.isoformat())
