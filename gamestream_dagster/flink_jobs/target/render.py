"""From the SQL files of a job to the statements that are sent: placeholders filled in, at submit only.

A placeholder outside quotes, `'url' = ${jdbc_url}`, becomes a whole literal with its quotes. Inside a literal,
`'${jdbc_url}&x=y'`, it becomes the escaped text. A group of options, `${format_user_score}`, becomes
`'key' = 'value', ...` and may only stand outside quotes. Nothing else of a value reaches the SQL.

Where Kafka wants TLS or a login, the options for it follow `${kafka_bootstrap}`, and a registry's login follows
`${registry_url}`: no job's SQL knows how its cluster is secured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gamestream_dagster.catalogue.game_rules import rules_document
from gamestream_dagster.catalogue.seasons import length_millis, shift_millis
from gamestream_dagster.catalogue.sources import stack_sources
from gamestream_dagster.clients.flink_literal import literal, masked
from gamestream_dagster.connections import KafkaConnection, RegistryConnection
from gamestream_dagster.events.suppression import Suppression, load_suppression
from gamestream_dagster.flink_jobs.errors import RenderError
from gamestream_dagster.flink_jobs.spec.job_spec import ALL_JSON, Expiry, Formats, JobSpec, SqlFile
from gamestream_dagster.flink_jobs.spec.sql_text import PLACEHOLDER, Token, TokenKind, split
from gamestream_dagster.security.patterns import patterns_document
from gamestream_dagster.settings import Settings, TopicFormat

SECRET_NAMES = frozenset({"postgres_password", "postgres_user"})
SECRET_OPTIONS = frozenset({f"gamestream-{name}.basic-auth.user-info" for name in ("avro", "game-events")})
GAME_EVENTS = "format_game_events"
"""Placeholder for the format of the game events, which judges them by the catalogue's rules."""
LOG_LINES = "format_log_lines"
"""Placeholder for the format of log lines, which reads them by the declared patterns."""
OWN_FORMATS = (GAME_EVENTS, LOG_LINES)
"""Placeholders for formats that belong to no stream."""
_LOG_FORMAT = "gamestream-log-lines"
SUPPRESSED_NAMES = frozenset({"erased_players", "erased_salt"})
"""Those of the erased players: whatever version of a job runs, it leaves out who is erased today."""
ADDRESS_NAMES = frozenset({"kafka_bootstrap", "registry_url", "jdbc_url"})


@dataclass(frozen=True)
class Bindings:
    """What the placeholders of one job stand for.

    Attributes:
        values: texts and groups of options, by placeholder.
        kafka: how the tables on `${kafka_bootstrap}` log in; None: plain text.
        registry: how the formats on `${registry_url}` log in; None: without a login.
        secrets: names of the values that are never shown.
        masks: texts to mask wherever the rendered SQL may show.
    """

    values: Mapping[str, str | Mapping[str, str]] = field(repr=False)
    kafka: KafkaConnection | None = None
    registry: RegistryConnection | None = None
    secrets: frozenset[str] = SECRET_NAMES
    masks: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> Mapping[str, str | Mapping[str, str]]:
        """The values that change what a job does and may be stored: everything but credentials."""
        return MappingProxyType(
            {
                name: value if isinstance(value, str) else _without_secrets(value)
                for name, value in self.values.items()
                if name not in self.secrets
            }
        )

    @property
    def lasting(self) -> Mapping[str, str]:
        """The values that belong to what a job does and not to where it runs: neither credentials nor addresses."""
        left_out = self.secrets | ADDRESS_NAMES | SUPPRESSED_NAMES
        texts = {name: value for name, value in self.values.items() if isinstance(value, str)}
        return MappingProxyType({name: value for name, value in texts.items() if name not in left_out})


def bindings_for(settings: Settings, job: str) -> Bindings:
    """The placeholders that every job's SQL may use, for one stack.

    Raises:
        CatalogueError: the streams cannot be read.
        SuppressionError: the list of erased players cannot be read.
    """
    kafka, registry, sources = settings.kafka, settings.registry, stack_sources(settings)
    suppression = load_suppression(settings)
    return Bindings(
        {
            "job": job,
            "group_id": f"gamestream-{job}",
            "kafka_bootstrap": kafka.bootstrap,
            "registry_url": registry.url,
            "jdbc_url": settings.jdbc_url,
            "postgres_user": settings.postgres_user,
            "postgres_password": settings.postgres_password_value,
            **{format_placeholder(topic): _format(source.format, settings) for topic, source in sources.items()},
            GAME_EVENTS: _game_format(registry, suppression),
            LOG_LINES: {"format": _LOG_FORMAT, f"{_LOG_FORMAT}.patterns": patterns_document()},
            "erased_players": ",".join(suppression.in_streams),
            "erased_salt": suppression.salt,
            "season_length_millis": str(length_millis(settings.season)),
            "season_shift_millis": str(shift_millis(settings.season)),
        },
        kafka=kafka,
        registry=registry,
        masks=settings.secrets,
    )


def _game_format(registry: RegistryConnection, suppression: Suppression) -> dict[str, str]:
    """Of a topic that holds JSON and Avro: the first byte of a record says which."""
    name = "gamestream-game-events"
    options = {"format": name, f"{name}.rules": rules_document(), f"{name}.url": registry.url}
    if suppression:
        listed = ",".join(f"{hashed}={request}" for hashed, request in suppression.in_streams.items())
        options[f"{name}.erased"] = f"{suppression.salt}:{listed}"
    return {**options, **_registry_login(registry, name)}


def _registry_login(registry: RegistryConnection, name: str = "gamestream-avro") -> dict[str, str]:
    return {f"{name}.basic-auth.user-info": registry.user_info} if registry.user else {}


def _without_secrets(options: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name not in SECRET_OPTIONS}


def format_placeholder(topic: str) -> str:
    """Name of the placeholder for the format of a stream's topic: `user-score` -> `format_user_score`."""
    return f"format_{topic.replace('-', '_')}"


def _format(encoding: TopicFormat, settings: Settings) -> Mapping[str, str]:
    if encoding is TopicFormat.AVRO:
        # our own: `avro-confluent` has no `ignore-parse-errors`, one bad record would stop the job for ever
        registry = settings.registry
        return {"format": "gamestream-avro", "gamestream-avro.url": registry.url, **_registry_login(registry)}
    return {"format": "json", "json.ignore-parse-errors": "true"}


@dataclass(frozen=True)
class RenderedJob:
    """The statements of a job, in order. The texts hold secrets: they go to the gateway and nowhere else."""

    definitions: tuple[str, ...] = field(repr=False)
    statement_set: str = field(repr=False)
    id_horizon_ms: int | None = None  # TTL of the state that drops copies of events
    id_key: tuple[str, ...] = ()  # columns by which copies are told
    id_topics: int = 1  # topics of which it drops copies
    aggregate_batch: int | None = None  # rows that an aggregate gathers at most
    expires: Expiry | None = None  # which groups of aggregates are forgotten

    @property
    def edits_the_plan(self) -> bool:
        """Whether no SQL and no option says all that the job needs."""
        return (self.id_horizon_ms, self.aggregate_batch, self.expires) != (None, None, None)

    @property
    def statement_set_body(self) -> str:
        """`STATEMENT SET BEGIN ... END`, as EXPLAIN and COMPILE PLAN want it."""
        return re.sub(r"(?is)^\s*EXECUTE\s+", "", self.statement_set)


def render(spec: JobSpec, bindings: Bindings, formats: Formats = ALL_JSON) -> RenderedJob:
    """Fill the placeholders of every file of a job and split it into statements.

    Raises:
        RenderError: a placeholder has no value, or stands where it cannot be filled; names file and placeholder.
    """
    bindings = replace(bindings, values={**spec.parameters, **bindings.values})
    definitions: list[str] = []
    statement_set = ""
    for file in spec.files(formats):
        for statement in split(file.text):
            text = "".join(_fill(token, bindings, file) for token in statement.tokens).strip()
            if statement.begins("EXECUTE", "STATEMENT", "SET"):
                statement_set = text
            else:
                definitions.append(text)
    return RenderedJob(
        tuple(definitions),
        statement_set,
        id_horizon_ms=spec.id_horizon_ms,
        id_key=spec.id_key,
        id_topics=max(1, len(spec.ledgers)),
        aggregate_batch=spec.aggregate_batch,
        expires=spec.expires,
    )


def preview(spec: JobSpec, bindings: Bindings, formats: Formats = ALL_JSON) -> list[str]:
    """The statements as a person may see them: secrets are `***`."""
    rendered = render(spec, bindings, formats)
    return [masked(text, bindings.masks) for text in (*rendered.definitions, rendered.statement_set)]


def _fill(token: Token, bindings: Bindings, file: SqlFile) -> str:
    match token.kind:
        case TokenKind.PLACEHOLDER:
            name = token.text[2:-1]
            value = _value(name, bindings, file)
            if not isinstance(value, str):
                return _options(name, value, file)
            login = _login(name, bindings)
            return _quoted(name, value, file) + (f", {_options(name, login, file)}" if login else "")
        case TokenKind.STRING:
            return PLACEHOLDER.sub(lambda found: _inside(found.group(1), bindings, file), token.text)
        case TokenKind.QUOTED | TokenKind.HINT if PLACEHOLDER.search(token.text):
            raise RenderError(f"{file.path}: {token.text} holds a placeholder; only values can be filled in, not names")
        case _:
            return token.text


def _login(name: str, bindings: Bindings) -> Mapping[str, str]:
    """Options for TLS and login that follow an address."""
    if name == "kafka_bootstrap" and bindings.kafka:
        return bindings.kafka.flink_security
    if name == "registry_url" and bindings.registry:
        return _registry_login(bindings.registry)
    return {}


def _options(name: str, options: Mapping[str, str], file: SqlFile) -> str:
    return ", ".join(f"{literal(key)} = {_quoted(name, text, file)}" for key, text in options.items())


def _inside(name: str, bindings: Bindings, file: SqlFile) -> str:
    value = _value(name, bindings, file)
    if not isinstance(value, str):
        raise RenderError(f"{file.path}: ${{{name}}} is a group of options; write it without quotes around it")
    return _quoted(name, value, file)[1:-1]


def _value(name: str, bindings: Bindings, file: SqlFile) -> str | Mapping[str, str]:
    if name not in bindings.values:
        known = ", ".join(sorted(bindings.values))
        raise RenderError(f"{file.path}: ${{{name}}} has no value; the placeholders are {known}")
    return bindings.values[name]


def _quoted(name: str, value: str, file: SqlFile) -> str:
    try:
        return literal(value)
    except ValueError as error:
        raise RenderError(f"{file.path}: the value of ${{{name}}} cannot be used: {error}") from error
