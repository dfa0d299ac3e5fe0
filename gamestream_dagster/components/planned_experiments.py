"""The component `PlannedExperiments`: one asset for each plan in a folder, with checks of the split and of the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.components.keys import DEFAULT_OWNER, Group, archive_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.experiments.errors import PlanError
from gamestream_dagster.experiments.plan import Plan, load_plan
from gamestream_dagster.experiments.srm import SrmStatus
from gamestream_dagster.resources.experiments import Experiments
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from gamestream_dagster.resources.experiments import Reading

SPLIT = "split_as_planned"
FROZEN = "plan_unchanged"


class PlannedExperiments(dg.Component, dg.Model, dg.Resolvable):
    """`serving/experiment_<name>` for each `<folder>/<name>.yaml`: the readout at the end of the archive."""

    folder: str = "experiments"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Read the plans; no server is asked. A project without the folder has no experiments."""
        return build_experiment_definitions(sorted((PROJECT_ROOT / self.folder).glob("*.yaml")))


def build_experiment_definitions(files: Sequence[Path]) -> dg.Definitions:
    """One asset for each plan. A plan that cannot be used fails its own runs and no other asset."""
    return dg.Definitions(assets=[_experiment_asset(file) for file in files])


def experiment_key(name: str) -> dg.AssetKey:
    """Key of the experiment of a plan's file, such as `gate` for `gate.yaml`."""
    return dg.AssetKey(["serving", f"experiment_{''.join(one if one.isalnum() else '_' for one in name)}"])


def _experiment_asset(file: Path) -> dg.AssetsDefinition:
    key = experiment_key(file.stem)

    @dg.asset(
        key=key,
        description=_description(file),
        group_name=Group.SERVING.value,
        owners=[DEFAULT_OWNER],
        kinds={"python"},
        tags={"layer": "experiments"},
        metadata={"plan": file.name},
        deps=[archive_key(RAW_TOPIC)],
        check_specs=[
            dg.AssetCheckSpec(SPLIT, asset=key, description="The arms hold the players that the plan gives them."),
            dg.AssetCheckSpec(FROZEN, asset=key, description="The plan is that of the first reading."),
        ],
    )
    def experiment(experiments: dg.ResourceParam[Experiments]) -> Iterator[Any]:
        """Read the experiment as far as the archive goes; the certificate is kept in the home."""
        with explained(f"read the experiment of {file.name}", retries=0):
            reading = experiments.read(file.stem, load_plan(file))
        yield dg.MaterializeResult(
            metadata=describe_reading(reading),
            data_version=dg.DataVersion(_version(reading)),
            check_results=[_split(reading), _frozen(reading)],
        )

    return experiment


def describe_reading(reading: Reading) -> dict[str, Any]:
    """Metadata of one reading: the sentence, counts, differences and what verifies them."""
    readout = reading.certificate.readout
    rows = [
        (one.metric, one.role.value, one.variant, one.difference, one.low, one.high, one.p_value, one.holm_p_value)
        for one in readout.comparisons
    ]
    arms = [(arm.variant, arm.players, f"{arm.share:.2%}", f"{arm.planned_share:.2%}") for arm in readout.arms]
    titles = ("metric", "role", "variant", "difference", "low", "high", "p", "Holm p")
    return {
        "sentence": reading.sentence,
        "status": readout.status.value,
        "players": readout.players,
        "crossovers": readout.crossovers,
        "waiting": readout.waiting,
        "arms": markdown_table(("variant", "players", "share", "planned"), arms),
        **({"comparisons": markdown_table(titles, rows)} if rows else {}),
        **({"notes": "\n".join(readout.notes)} if readout.notes else {}),
        "plan_digest": reading.certificate.plan_digest,
        "certificate": dg.MetadataValue.path(str(reading.path)),
    }


def _version(reading: Reading) -> str:
    """The same for the same plan over the same events."""
    cut = reading.certificate.cut
    return f"{reading.certificate.plan_digest[:12]}-{cut.archive_head[:12] if cut is not None else ''}"


def _split(reading: Reading) -> dg.AssetCheckResult:
    split = reading.certificate.readout.split
    blocked = split.status is SrmStatus.BLOCK
    return dg.AssetCheckResult(
        check_name=SPLIT,
        passed=split.status is SrmStatus.OK,
        severity=dg.AssetCheckSeverity.ERROR if blocked else dg.AssetCheckSeverity.WARN,
        description=f"p = {split.p_value:.2g}, off by {split.deviation:.2%} of the players",
        metadata={"p_value": split.p_value, "chi_square": split.chi_square, "deviation": split.deviation},
    )


def _frozen(reading: Reading) -> dg.AssetCheckResult:
    first, now = reading.frozen_digest, reading.certificate.plan_digest
    changed = (
        f"the plan was {first[:12]} at the first reading and is {now[:12]}: decided after a look. Give it a new file "
        f"name, or, where nobody looked, remove {reading.first_path}"
    )
    return dg.AssetCheckResult(
        check_name=FROZEN,
        passed=first == now,
        severity=dg.AssetCheckSeverity.ERROR,
        description="unchanged" if first == now else changed,
        metadata={"plan_digest": now},
    )


def _description(file: Path) -> str:
    try:
        plan: Plan = load_plan(file)
    except PlanError as error:
        return f"This plan cannot be used: {error}"
    about = plan.description or f"The experiment `{plan.experiment}`"
    return f"{about}: {', '.join(plan.treatments)} against {plan.control}, read from the archive by a frozen plan."
