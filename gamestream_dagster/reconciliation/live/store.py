"""`live_comparisons`: the newest comparison of each settled day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.reconciliation.live.model import DayProof
from gamestream_dagster.reconciliation.live.verdicts import verdict_of
from gamestream_dagster.warehouse.tables import live_comparisons


def save_comparison(engine: Engine, proof: DayProof) -> None:
    """Store what a proof that could look found, a row for each metric, in place of an earlier one of the day."""
    rows = list(_rows(proof))
    if not rows:
        return
    query = insert(live_comparisons)
    replaced = {one.name: query.excluded[one.name] for one in live_comparisons.c if not one.primary_key}
    with engine.begin() as link:
        link.execute(
            query.on_conflict_do_update(index_elements=list(live_comparisons.primary_key), set_=replaced), rows
        )


def _rows(proof: DayProof) -> Iterator[dict[str, Any]]:
    for metric, version in proof.versions.items():
        numbers = [one for one in proof.numbers if one.metric == metric]
        yield {
            "metric": metric,
            "day": proof.day,
            "settle_version": version,
            "compared_at": datetime.now(UTC),
            "verdict": verdict_of(numbers)[0].value,
            "numbers": len(numbers),
            "differing": sum(bool(one.causes) for one in numbers),
            "causes": dict(Counter(cause.value for one in numbers for cause in one.causes)),
        }
