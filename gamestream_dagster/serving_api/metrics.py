"""The metrics of the serving API."""

from __future__ import annotations

from gamestream_dagster.http_server.metrics import RequestMetrics
from gamestream_dagster.serving_api.explaining import Explainer
from gamestream_dagster.serving_api.held import HeldViews


def metrics_of(views: HeldViews, explainer: Explainer) -> RequestMetrics:
    """Requests, questions that wait, rows that are kept for cursors."""
    made = RequestMetrics("gamestream_api")
    made.gauge("questions_waiting", "Questions `why` that have no answer yet.", lambda: explainer.waiting)
    made.gauge("pinned_rows", "Rows of the views that cursors are pinned to.", lambda: views.pinned_rows)
    return made
