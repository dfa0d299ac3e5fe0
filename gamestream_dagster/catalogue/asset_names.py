"""Names of the nodes in Dagster's lineage, for those who talk to Dagster without importing it.

The lineage labels a node with the last part of its name, so that part says what the node is: the topic, the table and
the board `top_teams` are `top_teams_topic`, `top_teams_table` and `top_teams`.
"""

from __future__ import annotations

Name = tuple[str, str]

RECONCILIATION: Name = ("reconciliation", "leaderboards")
INTAKE_PROOF: Name = ("reconciliation", "intake")
CLOSED_SEASONS: Name = ("serving", "closed_seasons")
LEADERBOARDS_PAGE: Name = ("serving", "leaderboards_page")
INGEST_API: Name = ("serving", "ingest_api")
SERVING_API: Name = ("serving", "serving_api")
ALERTS: Name = ("serving", "alerts")
GEO_TABLE: Name = ("enrichment", "geo_table")
DEVICE_TABLE: Name = ("enrichment", "device_table")


def topic_name(topic: str) -> Name:
    """`user-score` -> topic/user_score_topic; a name cannot hold `-`."""
    return "topic", f"{_plain(topic)}_topic"


def subject_name(subject: str) -> Name:
    """`user-score-value` -> subject/user_score_value."""
    return "subject", _plain(subject)


def table_name(table: str) -> Name:
    """`top_teams` -> table/top_teams_table."""
    return "table", f"{table}_table"


def job_name(job: str) -> Name:
    """`leaderboards_v1` -> job/leaderboards_v1."""
    return "job", job


def board_name(board: str) -> Name:
    """`top_teams` -> board/top_teams."""
    return "board", board


def metric_name(metric: str) -> Name:
    """`active_users` -> metric/active_users."""
    return "metric", metric


def archive_name(topic: str) -> Name:
    """`user-score` -> archive/user_score_archive."""
    return "archive", f"{_plain(topic)}_archive"


def _plain(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")
