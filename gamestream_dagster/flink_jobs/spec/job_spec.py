"""What a job should be: the folder's content as a frozen value, and the fingerprint of what changes its behaviour."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gamestream_dagster.catalogue.boards import Board, Identifier
from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.flink_jobs.spec.fixed import DEFAULT_MAX_PARALLELISM, MOST_MAX_PARALLELISM, PARALLELISM
from gamestream_dagster.flink_jobs.spec.sql_text import canonical
from gamestream_dagster.flink_jobs.spec.stream_outputs import StreamOutput
from gamestream_dagster.settings import TopicFormat

FINGERPRINT_LENGTH = 8
LEDGER_TABLE = "job_ledger"

Formats = Mapping[str, TopicFormat]
"""How topics are encoded, by name."""

ALL_JSON: Formats = MappingProxyType({})
_TOPIC_OPTION = re.compile(r"'topic'\s*=\s*'([^'$]+)'")


class DesiredState(StrEnum):
    """What the folder asks for. There is no "deleted": a job that is not wanted is suspended, or has no folder."""

    RUNNING = "running"  # the job runs
    SUSPENDED = "suspended"  # stopped with a savepoint, ready to go on from it


class UpgradeMode(StrEnum):
    """How the state gets from one deployment to the next. No plan goes down this list by itself beyond last-state."""

    SAVEPOINT = "savepoint"  # stop with a savepoint; an unhealthy job may fall back to its last checkpoint
    LAST_STATE = "last-state"  # go on from the last complete checkpoint
    STATELESS = "stateless"  # the job has no state worth keeping; start from the earliest offset

    @property
    def stateful(self) -> bool:
        """True when losing the state would change results."""
        return self is not UpgradeMode.STATELESS


class Limits(BaseModel):
    """How long each part of a deployment may take, and how old a state it may go on from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_seconds: float = Field(default=120, gt=0, description="Until every task runs.")
    checkpoint_seconds: float = Field(default=120, gt=0, description="Until the first new checkpoint is complete.")
    stop_seconds: float = Field(default=120, gt=0, description="Until a savepoint is complete and the job has stopped.")
    steady_seconds: float = Field(default=60, ge=0, description="How long a new version must run without failing.")
    restore_age_hours: float = Field(default=168, gt=0, description="A state that is older is not taken unasked.")


class LowLatency(BaseModel):
    """What the setting `stream_profile: low-latency` changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: dict[str, str] = Field(default_factory=dict, description="Flink options that win over those of `flink`.")
    sinks: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="By option of a sink: the value that the rendered SQL has, and the new one."
    )


class Expiry(BaseModel):
    """The field `expires` of a job.yaml: groups of aggregates without a window that their job forgets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Identifier | tuple[Identifier, ...] = Field(
        description="Aggregates that group by this column, or by one of these, forget a group."
    )
    after: DurationMs = Field(gt=0, description="So long after its last change, by the job's clock.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `by`."""
        return (self.by,) if isinstance(self.by, str) else self.by

    @property
    def oldest_state_hours(self) -> float:
        """A state that is older is not restored: groups would have expired in it, and would begin again at 0."""
        return self.after / 2 / 3_600_000


class SqlFile(BaseModel):
    """One SQL file: where it stands, relative to the root of the jobs, and its text."""

    model_config = ConfigDict(frozen=True)

    path: str
    text: str = Field(repr=False)

    @property
    def topics(self) -> tuple[str, ...]:
        """The Kafka topics that its tables name."""
        return tuple(topic.strip() for found in _TOPIC_OPTION.findall(self.text) for topic in found.split(";"))


class JobSpec(BaseModel):
    """One job folder, read and validated. Frozen: decisions go into the plan, never into the spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier = Field(description="The folder's name.")
    folder: Path
    title: str = Field(default="", description="Name for people; the folder's name when absent.")
    description: str = Field(min_length=1, description="What the job does, for people.")
    owners: tuple[str, ...] = Field(min_length=1, description="Who answers for it, such as `team:game-analytics`.")
    desired_state: DesiredState = DesiredState.RUNNING
    upgrade_mode: UpgradeMode = UpgradeMode.SAVEPOINT
    restart_nonce: int = Field(default=0, ge=0, description="Change it to have the job restarted from its state.")
    reads: tuple[str, ...] = Field(min_length=1, description="Kafka topics that the job reads.")
    only_with_ranks: bool = Field(default=False, description="It is of the stack with `ranks: all` alone.")
    outputs: tuple[Board, ...] = Field(
        default=(), description="What it writes, in the order of the views in query.sql."
    )
    streams: tuple[StreamOutput, ...] = Field(default=(), description="What it appends to topics, in the same order.")
    ledgers: tuple[str, ...] = Field(default=(), description="Topics whose events it counts in the table `job_ledger`.")
    sources: tuple[SqlFile, ...] = Field(description="Shared source files, in the order of job.yaml.")
    avro_sources: dict[str, SqlFile] = Field(default_factory=dict, description="Avro variant of a source, by path.")
    id_horizon_ms: int | None = Field(
        default=None, gt=0, description="How long ids of events are kept; None: not at all."
    )
    id_key: tuple[str, ...] = Field(default=(), description="Columns by which the job tells copies; () without ids.")
    aggregate_batch: int | None = Field(
        default=None,
        gt=0,
        description="Rows that an unbounded aggregate gathers at most between two watermarks; None: as `flink` says.",
    )
    expires: Expiry | None = Field(default=None, description="None: no state of an aggregate ever expires.")
    parameters: dict[str, str] = Field(
        default_factory=dict, description="What the placeholders of its own stand for, by name."
    )
    on_request: bool = Field(
        default=False, description="Deployed only where somebody names it; afterwards it is a job like the others."
    )
    query: SqlFile
    sinks: SqlFile = Field(description="Rendered from `outputs`.")
    max_parallelism: int = Field(
        default=DEFAULT_MAX_PARALLELISM,
        gt=0,
        le=MOST_MAX_PARALLELISM,
        description="Key groups of the job's state, and so its greatest parallelism; its first state fixes it.",
    )
    flink: dict[str, str] = Field(default_factory=dict, description="Flink options of the job.")
    low_latency: LowLatency | None = None
    limits: Limits = Limits()
    lint_accepts: tuple[Annotated[str, Field(pattern=r"^GS\d\d$")], ...] = Field(
        default=(), description="Codes of the linter's errors that are meant so, and do not keep the job back."
    )

    @field_validator("owners")
    @classmethod
    def _owner_shape(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if not (owner.startswith("team:") and len(owner) > 5) and "@" not in owner:
                raise ValueError(f"owner {owner!r} must be `team:<name>` or an e-mail address")
        return owners

    @model_validator(mode="after")
    def _parallelism_fits(self) -> JobSpec:
        written = self.flink.get(PARALLELISM, "1")
        if not (written.isdigit() and int(written) > 0):
            raise ValueError(f"{PARALLELISM} is {written!r}; write a number of 1 or more")
        if int(written) > self.max_parallelism:
            raise ValueError(
                f"{PARALLELISM} is {written} and max_parallelism {self.max_parallelism}; a job runs with at "
                "most that many parallel tasks"
            )
        return self

    @model_validator(mode="after")
    def _state_is_younger_than_its_expiry(self) -> JobSpec:
        """A state older than half the expiry is refused by default, and by any value that the job's folder may give."""
        if self.expires is None or self.limits.restore_age_hours <= self.expires.oldest_state_hours:
            return self
        if "restore_age_hours" in self.limits.model_fields_set:
            raise ValueError(
                f"limits.restore_age_hours is {self.limits.restore_age_hours:g}, and `expires` allows at most "
                f"{self.expires.oldest_state_hours:g}, half of `after`: older states have lost groups"
            )
        limits = self.limits.model_copy(update={"restore_age_hours": self.expires.oldest_state_hours})
        object.__setattr__(self, "limits", limits)
        return self

    @model_validator(mode="after")
    def _makes_savepoints(self) -> JobSpec:
        if self.flink.get("state.backend.type", "").lower() == "forst" and self.upgrade_mode.stateful:
            raise ValueError(
                "state.backend.type is forst, which fails at the savepoint that each stop of this job takes; "
                "write rocksdb, or hashmap"
            )
        return self

    def files(self, formats: Formats = ALL_JSON) -> tuple[SqlFile, ...]:
        """The SQL files in the order in which they run.

        Args:
            formats: encodings by topic, JSON where it is left out; a source of an Avro topic is its Avro variant.
        """
        return (*(self._in_format(file, formats) for file in self.sources), self.query, self.sinks)

    def _in_format(self, file: SqlFile, formats: Formats) -> SqlFile:
        avro = any(formats.get(topic) is TopicFormat.AVRO for topic in file.topics)
        return self.avro_sources.get(file.path, file) if avro else file

    @property
    def topics_written(self) -> tuple[str, ...]:
        """Kafka topics of its outputs and of its stream outputs."""
        outputs = tuple(output.topic for output in self.outputs if output.sinks.kafka is not None)
        return (*outputs, *(stream.topic for stream in self.streams))

    @property
    def tables_written(self) -> tuple[str, ...]:
        """Postgres tables of its outputs, and the ledger's."""
        tables = tuple(output.name for output in self.outputs if output.sinks.postgres is not None)
        return (*tables, LEDGER_TABLE) if self.ledgers else tables

    @property
    def code_version(self) -> str:
        """Hash of the folder alone, whatever stack it runs on: eight hex digits."""
        return _digest(self._behaviour(ALL_JSON))[:FINGERPRINT_LENGTH]

    def _behaviour(self, formats: Formats) -> dict[str, Any]:
        behaviour: dict[str, Any] = {
            "sql": [canonical(file.text) for file in self.files(formats)],
            "flink": dict(sorted(self.flink.items())),
            "restart_nonce": self.restart_nonce,
        }
        expires = None if self.expires is None else self.expires.model_dump()
        edits = {
            "id_horizon_ms": self.id_horizon_ms,
            "aggregate_batch": self.aggregate_batch,
            "expires": expires,
            "parameters": self.parameters or None,
        }
        return behaviour | {key: value for key, value in edits.items() if value is not None}

    def fingerprint(self, options: Mapping[str, str], values: Mapping[str, Any], formats: Formats) -> str:
        """Hash of everything that changes what the job does, as 64 hex digits.

        Args:
            options: every Flink option that the job is submitted with.
            values: the placeholders' values that are not secret (`Bindings.shown`).
            formats: encodings by topic.

        Owner, title, description, limits and upgrade mode are left out: changing them never redeploys a job.
        """
        behaviour = self._behaviour(formats)
        used = {name: value for name, value in values.items() if self._uses(name, formats)}
        return _digest({**behaviour, "options": dict(sorted(options.items())), "values": used})

    def _uses(self, placeholder: str, formats: Formats) -> bool:
        return any("${" + placeholder + "}" in file.text for file in self.files(formats))


def flink_job_name(job: str, fingerprint: str, generation: int) -> str:
    """Name of the job in Flink: `<job>@<8 hex digits>-g<generation>`."""
    return f"{job}@{fingerprint[:FINGERPRINT_LENGTH]}-g{generation}"


def parse_flink_job_name(name: str) -> tuple[str, str, int] | None:
    """Job, short fingerprint and generation from a name in Flink; None for a job that is not ours."""
    job, at, rest = name.partition("@")
    short, dash, number = rest.partition("-g")
    if not (at and dash and number.isdigit() and len(short) == FINGERPRINT_LENGTH):
        return None
    return job, short, int(number)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=dict)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
