"""A job as it is to be deployed on this stack: its SQL with the values filled in, its options, its fingerprint.

The SQL is the folder's, or what an earlier deployment ran: that is recorded with its placeholders, never with values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gamestream_dagster.catalogue.sources import load_sources, stack_sources
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.spec.fixed import MAX_PARALLELISM, PARALLELISM
from gamestream_dagster.flink_jobs.spec.job_spec import ALL_JSON, LEDGER_TABLE, Expiry, Formats, JobSpec, SqlFile
from gamestream_dagster.flink_jobs.spec.tuning import tuned
from gamestream_dagster.flink_jobs.target.parallelism import parallelism_of
from gamestream_dagster.flink_jobs.target.render import Bindings, RenderedJob, bindings_for, render
from gamestream_dagster.settings import Settings, TopicFormat
from gamestream_dagster.warehouse.ledger_parts import ledger_part


@dataclass(frozen=True)
class Target:
    """What is to be deployed: the spec with everything that depends on the stack."""

    spec: JobSpec
    fingerprint: str
    rendered: RenderedJob = field(repr=False)
    options: Mapping[str, str]
    savepoints_dir: str | None  # a Flink path; None: the cluster's own
    formats: Formats = field(default_factory=lambda: ALL_JSON)  # of the topics that it reads
    code_version: str = ""  # of the folder that the SQL came from
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # of placeholders, but addresses


def target_for(
    settings: Settings, spec: JobSpec, bound: Callable[[Bindings], Bindings] = lambda bindings: bindings
) -> Target:
    """A job as its folder says; `bound` may put other values in the place of those of this stack."""
    code_version, spec = spec.code_version, tuned(spec, settings.stream_profile)
    options = {
        "execution.runtime-mode": "streaming",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_seconds} s",
        # a cancelled job leaves its last state behind
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "table.dml-sync": "false",
        MAX_PARALLELISM: str(spec.max_parallelism),
        **spec.flink,
        PARALLELISM: str(parallelism_of(settings, spec)),
    }
    made = _target(settings, spec, options, bound(bindings_for(settings, spec.name)))
    return replace(made, code_version=code_version)


def target_as_deployed(settings: Settings, spec: JobSpec, deployment: Deployment) -> Target:
    """A job as a recorded deployment ran it, with the addresses and credentials of today.

    Args:
        settings: the stack.
        spec: the folder as it is now; limits, owners and upgrade mode are taken from it.
        deployment: a record that is `stored`.
    """
    ran = deployment.spec
    *sources, query, sinks = (SqlFile(path=one["path"], text=one["text"]) for one in ran["files"])
    if "ledgers" not in ran:
        sinks = _with_divided_ledger(sinks, ran["reads"][0])
    behaviour = {
        "sources": tuple(sources),
        "avro_sources": {},
        "query": query,
        "sinks": sinks,
        "flink": dict(ran["flink"]),
        "restart_nonce": ran["restart_nonce"],
        "reads": tuple(ran["reads"]),
        "ledgers": tuple(ran.get("ledgers", ())),
        "id_horizon_ms": ran.get("id_horizon_ms"),
        "id_key": tuple(ran.get("id_key", ("user_id", "event_id"))),  # earlier records know no other
        "aggregate_batch": ran.get("aggregate_batch"),
        "expires": None if ran.get("expires") is None else _expiry(ran["expires"]),
        "parameters": dict(ran.get("parameters", {})),
    }
    then = settings.model_copy(update={"topic_formats": {**settings.topic_formats, **_formats_then(ran)}})
    # a value such as the length of a season belongs to the state: that of then, not of now
    bindings = bindings_for(then, spec.name)
    bindings = replace(bindings, values={**bindings.values, **ran.get("values", {})})
    made = _target(then, spec.model_copy(update=behaviour), ran["options"], bindings)
    return replace(made, code_version=ran["code_version"])


def _expiry(ran: Mapping[str, Any]) -> Expiry:
    by = ran["by"]
    return Expiry.model_construct(by=by if isinstance(by, str) else tuple(by), after=ran["after"])


def _with_divided_ledger(sinks: SqlFile, topic: str) -> SqlFile:
    """The sinks of a deployment from before `job_ledger` had a part for each topic: they write into that of `topic`."""
    former, now = f"'table-name' = '{LEDGER_TABLE}'", f"'table-name' = '{ledger_part(topic)}'"
    return sinks.model_copy(update={"text": sinks.text.replace(former, now)})


def _formats_then(ran: Mapping[str, Any]) -> dict[str, TopicFormat]:
    """Encodings of the streams that a recorded deployment read; the first versions had one for all of them."""
    streams = load_sources()
    recorded = ran.get("formats") or dict.fromkeys(ran["reads"], ran.get("score_format", TopicFormat.JSON))
    return {topic: TopicFormat(encoding) for topic, encoding in recorded.items() if topic in streams}


def _target(settings: Settings, spec: JobSpec, options: Mapping[str, str], bindings: Bindings) -> Target:
    sources = stack_sources(settings)
    formats = {topic: sources[topic].format for topic in spec.reads if topic in sources}
    savepoints = None if settings.is_external("flink") else (settings.savepoints_dir / spec.name).as_uri()
    return Target(
        spec=spec,
        fingerprint=spec.fingerprint(options, bindings.shown, formats),
        rendered=render(spec, bindings, formats),
        options=dict(options),
        savepoints_dir=savepoints,
        formats=formats,
        values=bindings.lasting,
    )


def what_ran(target: Target) -> dict[str, Any]:
    """What a deployment's record keeps, so that the same can run again: SQL with placeholders, options, no secret."""
    spec = target.spec
    return {
        "code_version": target.code_version,
        "files": [{"path": file.path, "text": file.text} for file in spec.files(target.formats)],
        "formats": {topic: encoding.value for topic, encoding in target.formats.items()},
        "flink": dict(spec.flink),
        "restart_nonce": spec.restart_nonce,
        "options": dict(target.options),
        "values": dict(target.values),
        "reads": list(spec.reads),
        "ledgers": list(spec.ledgers),
        "id_horizon_ms": spec.id_horizon_ms,
        "id_key": list(spec.id_key),
        "aggregate_batch": spec.aggregate_batch,
        "expires": None if spec.expires is None else spec.expires.model_dump(),
        "parameters": dict(spec.parameters),
        "writes": [output.name for output in spec.outputs],
    }
