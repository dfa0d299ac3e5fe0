"""A small job with a topic and a table of its own, for tests of the job manager on the real servers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy import text

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.control.incident_recording import note_look
from gamestream_dagster.flink_jobs.control.workbench import workbench
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.incidents import Noted
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse import migrate

PARTITIONS = 2
PLAYERS = 5


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


@dataclass
class Game:
    """A job folder with a topic and a table of its own; `sent` is what the table should hold."""

    settings: Settings
    root: Path
    name: str
    topic: str
    table: str
    sent: dict[str, int]

    def write_job(self, **changes: object) -> None:
        content = {
            "description": "Sum of the scores of each player.",
            "owners": ["team:game-analytics"],
            "sources": ["scores.sql"],
            "reads": [self.topic],
            "flink": {"parallelism.default": 1},
            "limits": {"start_seconds": 60, "checkpoint_seconds": 60, "stop_seconds": 60},
            **changes,
        }
        (self.root / self.name / "job.yaml").write_text(yaml.safe_dump(content))

    def write_query(self, where: str = "score >= 0", columns: str = "player, total") -> None:
        query = f"SELECT player, SUM(score) AS total FROM scores WHERE {where} GROUP BY player"
        (self.root / self.name / "query.sql").write_text(
            f"CREATE TEMPORARY VIEW totals AS {query};\n"
            f"CREATE TEMPORARY VIEW {self.table} AS SELECT {columns} FROM totals;"
        )

    def write_source(self, option: str = "'scan.startup.mode' = 'earliest-offset'") -> None:
        """The topic as a table; `option` is put in beside what it needs."""
        (self.root / "_sources" / "scores.sql").write_text(
            dedent(f"""
            CREATE TEMPORARY TABLE scores (player STRING, score BIGINT)
            WITH ('connector' = 'kafka', 'topic' = '{self.topic}',
              'properties.bootstrap.servers' = ${{kafka_bootstrap}},
              'properties.group.id' = ${{group_id}}, {option}, ${{format_user_score}});
            """)
        )

    def write_output(self, **more: object) -> None:
        """The output of the job: rows by player in a table, and in the sinks of `more`."""
        described = {
            "title": "Totals",
            "description": "Sum of the scores of each player.",
            "owner": "team:game-analytics",
            "sinks": {"postgres": {"flush_interval": "200 ms"}, **more},
            "columns": {
                "player": {"type": "string", "role": "key"},
                "total": {"type": "bigint", "role": "sum", "over": ["player"]},
            },
        }
        folder = self.root / self.name / "outputs" / self.table
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "output.yaml").write_text(yaml.safe_dump(described, sort_keys=False))

    def send(self, count: int) -> None:
        producer = Producer(self.settings.kafka.options())
        for number in range(count):
            player = f"p{number % PLAYERS}"
            producer.produce(self.topic, key=player, value=f'{{"player":"{player}","score":{number % 9}}}')
            self.sent[player] = self.sent.get(player, 0) + number % 9
        assert producer.flush(20) == 0

    def send_poison(self) -> None:
        """One record that makes a total of over 1000, for a job that cannot take one."""
        producer = Producer(self.settings.kafka.options())
        producer.produce(self.topic, key="p0", value='{"player":"p0","score":5000}')
        self.sent["p0"] += 5000
        assert producer.flush(20) == 0

    def look(self) -> Noted:
        """A look of which the findings are recorded, as the health sensor does it."""
        with workbench(self.settings, self.name, self.root) as bench:
            return note_look(bench, bench.look()[0])

    def rows(self) -> dict[str, int]:
        with open_engine(self.settings) as engine, engine.connect() as connection:
            return {
                row.player: row.total for row in connection.execute(text(f"SELECT player, total FROM {self.table}"))
            }

    def alerts(self) -> list[str]:
        """What stands in the table `alerts` about the job."""
        query = text("SELECT summary FROM alerts WHERE source = :source AND cleared_at IS NULL")
        with open_engine(self.settings) as engine, engine.connect() as connection:
            return list(connection.scalars(query, {"source": f"job/{self.name}"}))

    def expect_totals(self) -> None:
        wait_for("the totals", lambda: self.rows() == self.sent)

    def apply(self, choice: Choice = Choice.NONE) -> Deployment:
        return manager.apply_job(self.settings, self.name, choice, root=self.root)

    def live(self) -> list[str]:
        with FlinkRest(self.settings.flink_rest) as flink:
            return [job.job_id for job in flink.jobs() if job.name.startswith(self.name + "@") and not job.state.ended]

    def end(self) -> None:
        with FlinkRest(self.settings.flink_rest) as flink:
            for job_id in self.live():
                flink.cancel(job_id)


def new_game(settings: Settings, root: Path) -> Game:
    unique = uuid.uuid4().hex[:8]
    game = Game(settings, root, f"totals_{unique}_v1", f"scores-{unique}", f"totals_{unique}", {})
    admin = AdminClient(settings.kafka.options())
    for future in admin.create_topics([NewTopic(game.topic, PARTITIONS, 1)]).values():
        future.result(20)
    with open_engine(settings) as engine:
        migrate.upgrade(engine)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {game.table} (player text PRIMARY KEY, total bigint)"))
    for folder in ("_sources", game.name):
        (root / folder).mkdir()
    game.write_source()
    game.write_job()
    game.write_query()
    game.write_output()
    return game
