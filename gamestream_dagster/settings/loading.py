"""Where the value of each setting comes from.

In this order: the environment (`GAMESTREAM_*`), the profile file (`<home>/profile.yaml`), what `gamestream up` wrote
(`<home>/run/stack.yaml`), the default. `Settings.origin(name)` says which of them it was.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.settings.model import Settings, check_private

ENV_PREFIX = "GAMESTREAM_"
_SECRETS = ("postgres_password", "kafka_password", "registry_password", "ingest_signing_secret", "valkey_password")
# Settings of earlier versions, with what to write instead.
_RETIRED = {"score_format": "write `topic_formats: {<topic>: avro}`, a format for each topic"}


def load_settings(home: Path | str | None = None, port_base: int | None = None, **overrides: Any) -> Settings:
    """Read the settings of a stack.

    Args:
        home: state folder; default `GAMESTREAM_HOME` or `.gamestream` under the working directory.
        port_base: first port of the embedded servers.
        overrides: any other field of `Settings`; wins over every other source.

    Raises:
        SettingsError: a value is not usable; names the value and its origin.
    """
    arguments = {name: value for name, value in {"port_base": port_base, **overrides}.items() if value is not None}
    root = _folder(home or os.environ.get(ENV_PREFIX + "HOME", ".gamestream"))
    sources = [
        ("stack", _read_yaml(root / "run" / "stack.yaml")),
        ("profile", _read_yaml(root / "profile.yaml")),
        ("environment", _from_environment()),
        ("argument", arguments),
    ]
    values: dict[str, Any] = {"home": root}
    origins: dict[str, str] = {"home": "argument" if home else "default"}
    for origin, found in sources:
        values.update(found)
        origins.update(dict.fromkeys(found, origin))
    if any(origins.get(name) == "profile" for name in _SECRETS):
        check_private(root / "profile.yaml")
    try:
        made = Settings(**values, origins=origins)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if name in _RETIRED:
            origin = origins.get(name, "default")
            raise SettingsError(f"The setting {name!r} (from {origin}) is no more: {_RETIRED[name]}.") from error
        raise SettingsError(
            f"Setting {name!r} (from {origins.get(name, 'default')}) cannot be used: {first['msg']}. "
            f"Known settings: {', '.join(sorted(set(Settings.model_fields) - {'origins'}))}."
        ) from error
    _ = made.kafka, made.registry  # what does not fit together is said now, not by the first client
    return made


def _folder(given: Path | str) -> Path:
    try:
        root = Path(given).expanduser().resolve()
        usable = root.is_dir() or not root.exists()
    except (OSError, RuntimeError) as error:  # a loop of links, no home folder of that user, a name too long
        raise SettingsError(f"The home {given} cannot be used ({error}); give another --home.") from error
    if not usable:
        raise SettingsError(f"The home {root} is a file; give a folder with --home.")
    return root


def _from_environment() -> dict[str, str]:
    # `flink_options` is a mapping: from the profile file alone
    fields = (set(Settings.model_fields) | set(_RETIRED)) - {"home", "origins", "flink_options"}
    found = {name: os.environ.get(ENV_PREFIX + name.upper()) for name in fields}
    return {name: value for name, value in found.items() if value}


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise SettingsError(f"{path} is not valid YAML ({why}); mend it or delete it.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); mend its rights, or move it away.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold `name: value` lines; mend it or delete it.")
    return content
