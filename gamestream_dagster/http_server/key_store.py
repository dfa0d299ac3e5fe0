"""The table of keys in Postgres."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.http_server.errors import HttpServerError
from gamestream_dagster.http_server.keys import APP_PATTERN, NewSecret, Scope, StoredKey, hash_of, new_secret
from gamestream_dagster.warehouse.tables import ingest_keys

_NO_TABLE = "42P01"


@dataclass(frozen=True)
class MadeKey:
    """A key that was just made, with the token that is shown once."""

    key: StoredKey
    token: str


class KeyStore:
    """Keys in Postgres. Every method is one transaction.

    Raises (besides what each method names):
        HttpServerError: the table does not exist yet.
        ServiceError: Postgres does not answer, or refuses.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, app: str, scopes: frozenset[Scope], *, signed: bool = False) -> MadeKey:
        """Make a key.

        Raises:
            HttpServerError: the app's name is not usable, or there is no scope.
        """
        if not re.fullmatch(APP_PATTERN, app):
            raise HttpServerError(
                f"{app!r} is no name of an app: use small letters, digits and -, a letter first, at most 63."
            )
        if not scopes:
            raise HttpServerError(f"A key needs a scope; give one of {', '.join(Scope)} with --scope.")
        with self._transaction() as connection:
            return _insert(connection, app, scopes, signed=signed)

    def list(self) -> list[StoredKey]:
        """Every key, the newest last."""
        with self._transaction() as connection:
            rows = connection.execute(select(ingest_keys).order_by(ingest_keys.c.created_at, ingest_keys.c.key_id))
            return [_key(row) for row in rows.mappings()]

    def find(self, key_id: str) -> StoredKey | None:
        """The key of an id."""
        with self._transaction() as connection:
            return _find(connection, key_id)

    def rotate(self, key_id: str, overlap: timedelta) -> MadeKey:
        """Make a key that takes over from another, which stays valid for the overlap.

        Raises:
            HttpServerError: there is no such key, or it is not valid any more.
        """
        with self._transaction() as connection:
            old = _known(connection, key_id, lock=True)
            if not old.is_valid(datetime.now(UTC)):
                raise HttpServerError(
                    f"Key {key_id} is not valid any more; make another with `gamestream keys create`."
                )
            made = _insert(connection, old.app, old.scopes, signed=old.signed, replaces=key_id)
            end = datetime.now(UTC) + overlap
            end = end if old.expires_at is None else min(end, old.expires_at)
            _set(connection, key_id, {"expires_at": end})
            return made

    def revoke(self, key_id: str) -> StoredKey:
        """End a key at once; again does nothing.

        Raises:
            HttpServerError: there is no such key.
        """
        with self._transaction() as connection:
            found = _known(connection, key_id, lock=True)
            if found.revoked_at is None:
                now = datetime.now(UTC)
                _set(connection, key_id, {"revoked_at": now})
                found = replace(found, revoked_at=now)
            return found

    def _transaction(self) -> _Transaction:
        return _Transaction(self._engine)


class _Transaction:
    """A transaction in which a missing table is a sentence."""

    def __init__(self, engine: Engine) -> None:
        self._begun = engine.begin()

    def __enter__(self) -> Connection:
        return self._begun.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._begun.__exit__(*error)
        if isinstance(error[1], ProgrammingError) and getattr(error[1].orig, "sqlstate", "") == _NO_TABLE:
            raise HttpServerError("The table of keys is not there yet; make it with `gamestream apply`.") from error[1]


def _insert(
    connection: Connection, app: str, scopes: frozenset[Scope], *, signed: bool, replaces: str | None = None
) -> MadeKey:
    secret: NewSecret = new_secret()
    values = {
        "key_id": secret.key_id,
        "app": app,
        "scopes": ",".join(sorted(scopes)),
        "secret_sha256": hash_of(secret.secret),
        "signed": signed,
        "created_at": func.now(),
        "replaces": replaces,
    }
    row = connection.execute(insert(ingest_keys).values(values).returning(ingest_keys)).mappings().one()
    return MadeKey(_key(row), secret.token)


def _find(connection: Connection, key_id: str, *, lock: bool = False) -> StoredKey | None:
    query = select(ingest_keys).where(ingest_keys.c.key_id == key_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return _key(row) if row else None


def _known(connection: Connection, key_id: str, *, lock: bool) -> StoredKey:
    found = _find(connection, key_id, lock=lock)
    if found is None:
        raise HttpServerError(f"There is no key {key_id!r}; `gamestream keys list` shows them.")
    return found


def _set(connection: Connection, key_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(ingest_keys).where(ingest_keys.c.key_id == key_id).values(values))


def _key(row: RowMapping) -> StoredKey:
    scopes = frozenset(Scope(word) for word in row["scopes"].split(","))
    return StoredKey(**{**row, "scopes": scopes})
