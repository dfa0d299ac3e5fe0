"""The transaction timeout of a job's Kafka sinks, read from their SQL."""

from __future__ import annotations

from collections.abc import Iterable

from gamestream_dagster.flink_jobs.spec.sql_text import Statement, TokenKind, split

# Flink's default when the table sets none (KafkaSinkBuilder.DEFAULT_KAFKA_TRANSACTION_TIMEOUT).
CONNECTOR_DEFAULT_SECONDS = 3600.0


def transaction_timeout(sinks: Iterable[str]) -> float | None:
    """The shortest transaction timeout of the exactly-once tables in these texts, seconds; None without such tables."""
    found = [_timeout(statement) for text in sinks for statement in split(text)]
    return min((one for one in found if one is not None), default=None)


def _timeout(statement: Statement) -> float | None:
    options = _options(statement)
    if options.get("sink.delivery-guarantee") != "exactly-once":
        return None
    given = options.get("properties.transaction.timeout.ms", "")
    return int(given) / 1000 if given.isdigit() else CONNECTOR_DEFAULT_SECONDS


def _options(statement: Statement) -> dict[str, str]:
    """The `'key' = 'value'` pairs of a statement."""
    solid = [token for token in statement.tokens if token.kind is not TokenKind.SPACE]
    triples = zip(solid, solid[1:], solid[2:], strict=False)
    return {
        key.text[1:-1]: value.text[1:-1]
        for key, equals, value in triples
        if key.kind is TokenKind.STRING and equals.text == "=" and value.kind is TokenKind.STRING
    }
