"""Jobs with faults on purpose: their SQL, boards, topics and tables, for the matrix of planted causes.

One careless board carries many faults at once, a player each: no de-duplication, no validation, sums in 32 bits, and,
if asked for, state that expires. A copy of `_sources` stands beside it, so that the source can be made to skip offsets.
The job's ledger tells honestly what the board counts: it is what causes are taken from.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.migrate import create_missing

ROWS = 40


@dataclass(frozen=True)
class Planted:
    """One faulty job with one board of the same name, about the players whose ids begin with `players`."""

    name: str
    players: str
    ttl_seconds: int | None = None
    start: str | None = None
    """Kafka's `scan.startup.specific-offsets`: what lies before is never read."""
    ties_descending: bool = False

    @property
    def job(self) -> str:
        return f"{self.name}_v1"

    def write(self, root: Path) -> None:
        """The job's folder under `root`, beside a copy of the shared sources."""
        sources = root / "_sources"
        if not sources.exists():
            shutil.copytree(FLINK_SQL_DIR / "_sources", sources)
        scores = "user_score.sql"
        if self.start is not None:
            scores = f"{self.name}_score.sql"
            text = (sources / "user_score.sql").read_text(encoding="utf-8")
            skipping = f"'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = '{self.start}'"
            changed = text.replace("'scan.startup.mode' = 'earliest-offset'", skipping)
            assert changed != text
            (sources / scores).write_text(changed, encoding="utf-8")
        folder = root / self.job
        (folder / "outputs" / self.name).mkdir(parents=True)
        described = load_boards()["top_players"]
        board = yaml.safe_load((described.folder / "output.yaml").read_text(encoding="utf-8"))
        board |= {"rows": ROWS, "title": self.name}
        (folder / "outputs" / self.name / "output.yaml").write_text(
            yaml.safe_dump(board, sort_keys=False), encoding="utf-8"
        )
        totals = "FROM player_totals"
        assert totals in described.recompute_sql
        recompute = described.recompute_sql.replace(totals, f"{totals} WHERE user_id LIKE '{self.players}%'")
        (folder / "outputs" / self.name / "recompute.sql").write_text(recompute, encoding="utf-8")
        real = FLINK_SQL_DIR / described.job
        job = yaml.safe_load((real / "job.yaml").read_text(encoding="utf-8"))
        job["sources"] = [scores, *(self._careless(sources, name) for name in job["sources"][1:])]
        job["lint_accepts"] = ["GS02", "GS03"]  # 32 bits and a time to live: the faults that are planted
        job["flink"] |= {"parallelism.default": 1, "table.exec.mini-batch.enabled": False}
        (folder / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
        (folder / "query.sql").write_text(self._query(), encoding="utf-8")

    def _careless(self, sources: Path, name: str) -> str:
        """A source as this job understands it: of its players it accepts every number, and drops no copy."""
        text = (sources / name).read_text(encoding="utf-8")
        mine = f"user_id LIKE '{self.players}%'"
        if name == "checked_scores.sql":
            rule = "  CASE\n    WHEN user_id"
            changed = text.replace(rule, f"  CASE\n    WHEN {mine} THEN TRY_CAST(score AS BIGINT)\n    WHEN user_id")
        else:
            with_id, without = "points >= 0 AND event_id IS NOT NULL", "points >= 0 AND event_id IS NULL"
            changed = text.replace(f"WHERE {with_id}", f"WHERE {with_id} AND NOT ({mine})")
            changed = changed.replace(f"WHERE {without}", f"WHERE ({without}) OR ({mine} AND points IS NOT NULL)")
        assert changed != text
        (sources / f"{self.name}_{name}").write_text(changed, encoding="utf-8")
        return f"{self.name}_{name}"

    def _query(self) -> str:
        hint = "" if self.ttl_seconds is None else f"/*+ STATE_TTL('s' = '{self.ttl_seconds}s') */"
        return f"""
CREATE TEMPORARY VIEW careless_scores AS
SELECT user_id, team_name, CAST(TRY_CAST(score AS BIGINT) AS INT) AS points
FROM user_score
WHERE user_id LIKE '{self.players}%' AND TRY_CAST(score AS BIGINT) IS NOT NULL;

CREATE TEMPORARY VIEW {self.name} AS
SELECT rnk, user_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, user_id {"DESC" if self.ties_descending else "ASC"}) AS rnk
  FROM (
    SELECT {hint}
      user_id, MAX(team_name) AS team_name,
      CAST(SUM(points) AS BIGINT) + CASE WHEN user_id LIKE '%-mystery' THEN 1 ELSE 0 END AS total_score
    FROM careless_scores AS s
    GROUP BY user_id
  )
)
WHERE rnk <= {ROWS};
"""


def provision(settings: Settings, root: Path) -> dict[str, Board]:
    """The topics and tables of these boards that do not exist."""
    boards = load_boards(root)
    admin = KafkaAdmin(settings.kafka)
    for board in boards.values():
        if admin.describe(board.topic) is None:
            admin.create(board.topic, 1, {"cleanup.policy": "compact"})
    with open_engine(settings) as engine, engine.begin() as connection:
        create_missing(connection, load_metadata(boards))
    return boards
