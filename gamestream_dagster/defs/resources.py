"""Binds the resources. `Settings` reads addresses and secrets from the home of the stack."""

import dagster as dg

from gamestream_dagster.resources.alerts import AlertRulesResource
from gamestream_dagster.resources.boards import BoardTablesResource
from gamestream_dagster.resources.dead_letters import DeadLettersResource
from gamestream_dagster.resources.drill import DrillerResource
from gamestream_dagster.resources.enrichment import EnrichmentResource
from gamestream_dagster.resources.experiments import ExperimentsResource
from gamestream_dagster.resources.flink_jobs import FlinkJobsResource
from gamestream_dagster.resources.metrics import MetricsResource
from gamestream_dagster.resources.page import DashboardResource
from gamestream_dagster.resources.privacy import PrivacyResource
from gamestream_dagster.resources.provisioning import ProvisionerResource
from gamestream_dagster.resources.quality import QualityResource
from gamestream_dagster.resources.reconciliation import ArchiveResource, ReconcilerResource
from gamestream_dagster.resources.stack import StackResource
from gamestream_dagster.resources.training import TrainingResource
from gamestream_dagster.resources.verdicts import VerdictsResource


@dg.definitions
def resources() -> dg.Definitions:
    """One stack and its resources. Steps are API calls or one DuckDB query, so one process per run is enough."""
    stack = StackResource()
    return dg.Definitions(
        resources={
            "stack": stack,
            "provisioner": ProvisionerResource(stack=stack),
            "flink_jobs": FlinkJobsResource(stack=stack),
            "boards": BoardTablesResource(stack=stack),
            "archive": ArchiveResource(stack=stack),
            "reconciler": ReconcilerResource(stack=stack),
            "verdicts": VerdictsResource(stack=stack),
            "quality": QualityResource(stack=stack),
            "dashboard": DashboardResource(stack=stack),
            "enrichment": EnrichmentResource(stack=stack),
            "metrics": MetricsResource(stack=stack),
            "training": TrainingResource(stack=stack),
            "experiments": ExperimentsResource(stack=stack),
            "dead_letters": DeadLettersResource(stack=stack),
            "alert_rules": AlertRulesResource(stack=stack),
            "privacy": PrivacyResource(stack=stack),
            "driller": DrillerResource(stack=stack),
        },
        executor=dg.in_process_executor,
    )
