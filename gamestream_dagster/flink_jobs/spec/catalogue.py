"""The job folders: `flink_sql/<job>/` with job.yaml, query.sql and outputs/; shared sources in `flink_sql/_sources/`.

flink_sql/README.md is the contract of a folder; this module enforces it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from gamestream_dagster.catalogue.boards import DESCRIPTION, FLINK_SQL_DIR, IDENTIFIER, OUTPUTS
from gamestream_dagster.catalogue.errors import CatalogueError, reasons
from gamestream_dagster.catalogue.parameters import parameters_of
from gamestream_dagster.catalogue.sources import load_dedup
from gamestream_dagster.catalogue.topics import TOPICS_FILE, Dedup
from gamestream_dagster.flink_jobs.errors import JobSpecError, UnknownJobError
from gamestream_dagster.flink_jobs.spec.fixed import MAX_PARALLELISM
from gamestream_dagster.flink_jobs.spec.job_outputs import check_names, ledgers_of, outputs_of, views_of
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.spec.rendered_sinks import rendered_sinks
from gamestream_dagster.flink_jobs.spec.sql_text import Statement, TokenKind, split
from gamestream_dagster.flink_jobs.spec.stream_outputs import STREAMS, streams_of
from gamestream_dagster.settings import Ranks, Season

SOURCES_FOLDER = "_sources"
JOB_NAME = re.compile(r"^[a-z][a-z0-9_]{0,50}_v[1-9][0-9]*$")
# The variant of a source for topics whose events carry no ids; a source that has one drops copies where they do.
WITHOUT_IDS = ".without_ids.sql"
# A job with this placeholder writes boards of seasons.
OF_SEASONS = "${season_length_millis}"
# Options that the job manager decides for each deployment.
RESERVED_OPTIONS = (
    "pipeline.name",
    "$internal.pipeline.job-id",
    "execution.state-recovery.path",
    "execution.checkpointing.externalized-checkpoint-retention",
    "table.plan.compile.catalog-objects",
    "table.dml-sync",
)
_FIELDS = {MAX_PARALLELISM: "max_parallelism"}  # options with a field of their own
_SECRET_SETTING = re.compile(r"(password|passwd|secret|credential|access[.-]?key|api[.-]?key|jaas)", re.IGNORECASE)
_SECRET_OPTION = re.compile(r"(password|passwd|secret|token|credential|api[.-]?key|jaas)", re.IGNORECASE)


def load_jobs(
    root: Path = FLINK_SQL_DIR,
    topics: Path = TOPICS_FILE,
    season: Season | None = Season.NONE,
    ranks: Ranks = Ranks.BOARDS,
) -> dict[str, JobSpec]:
    """Every job folder under `root` that is wanted, by name, in alphabetical order.

    Args:
        root: where the folders are.
        topics: declares which topics' events carry ids.
        season: a stack's setting: with `NONE` jobs that use the length of a season are left out. None: every job,
            whatever a stack keeps.
        ranks: a stack's setting: without `ALL` jobs with `only_with_ranks` are left out.

    Raises:
        JobSpecError: a folder cannot be used; the message names the file and the mend.
        CatalogueError: the topics cannot be read.
    """
    ids = load_dedup(topics)
    found = {path.parent.name: _load(path, root, ids) for path in sorted(root.glob("[!_]*/job.yaml"))}
    of_seasons = {name for name, spec in found.items() if any(OF_SEASONS in file.text for file in spec.files())}
    return {
        name: spec
        for name, spec in found.items()
        if (season is not Season.NONE or name not in of_seasons) and (ranks is Ranks.ALL or not spec.only_with_ranks)
    }


def default_jobs(jobs: Mapping[str, JobSpec]) -> dict[str, JobSpec]:
    """The jobs that are deployed without being named."""
    return {name: spec for name, spec in jobs.items() if not spec.on_request}


def load_job(
    name: str,
    root: Path = FLINK_SQL_DIR,
    topics: Path = TOPICS_FILE,
    dedup: Mapping[str, Dedup] | None = None,
) -> JobSpec:
    """One job folder.

    Args:
        name: the folder's name.
        root: where the folders are.
        topics: declares which topics' events carry ids.
        dedup: by topic, in place of what `topics` declares; `{}`: events carry no ids.

    Raises:
        UnknownJobError: there is no such folder.
        JobSpecError: it cannot be used.
    """
    path = root / name / "job.yaml"
    if not IDENTIFIER.match(name) or not path.is_file():
        known = ", ".join(sorted(found.parent.name for found in root.glob("[!_]*/job.yaml"))) or "none yet"
        raise UnknownJobError(f"There is no job {name!r}; the jobs are: {known}")
    return _load(path, root, load_dedup(topics) if dedup is None else dedup)


def _load(path: Path, root: Path, dedup: Mapping[str, Dedup]) -> JobSpec:
    folder = path.parent
    if not JOB_NAME.match(folder.name):
        raise JobSpecError(f"{folder.name}: a job's folder is named `<small_letters>_v<number>`; rename it")
    raw = _yaml(path)
    names: list[Any] | None = raw.pop("sources", None)
    try:
        parameters = parameters_of(raw, folder)
    except CatalogueError as error:
        raise JobSpecError(str(error)) from error
    raw.pop("parameters", None)
    if not isinstance(names, list) or not names:
        raise JobSpecError(f"{_shown(path, root)}: `sources` must list at least one file of {SOURCES_FOLDER}/")
    ids = _ids_of(raw.get("reads"), dedup, _shown(path, root))
    sources = [_for_ids(_source(str(name), root, path), ids, root) for name in names]
    avro = {source.path: variant for source in sources if (variant := _avro_variant(source, root))}
    query = _sql(folder / "query.sql", root)
    for file in (*sources, *avro.values()):
        _check_definitions(file, ("TABLE", "VIEW"))
    _check_definitions(query, ("VIEW",))
    outputs, streams = outputs_of(folder, query), streams_of(folder, views_of([query]))
    if not (outputs or streams):
        raise JobSpecError(
            f"{folder.name} writes nothing: describe an output in {folder.name}/{OUTPUTS}/<name>/{DESCRIPTION}, or a "
            f"stream output in {folder.name}/{STREAMS}/<view>.yaml"
        )
    ledgers = ledgers_of(sources, _topics_of(raw.get("reads")), raw.pop("ledger", None), _shown(path, root))
    raw["flink"] = _options(raw.get("flink"), _shown(path, root))
    if isinstance(raw.get("low_latency"), dict):
        raw["low_latency"]["options"] = _options(raw["low_latency"].get("options"), _shown(path, root))
    drops_copies = ids is not None and any(
        (root / source.path).with_suffix(WITHOUT_IDS).is_file() for source in sources
    )
    sinks = rendered_sinks(folder.name, outputs, ledgers, streams)
    check_names((*sources, query, sinks))
    known = {
        "name": folder.name,
        "folder": folder,
        "sources": sources,
        "avro_sources": avro,
        "id_horizon_ms": ids.horizon if ids is not None and drops_copies else None,
        "id_key": ids.key if ids is not None and drops_copies else (),
        "query": query,
        "outputs": outputs,
        "streams": streams,
        "ledgers": tuple(one.topic for one in ledgers),
        "sinks": sinks,
        "parameters": parameters,
    }
    for key in known:
        if key in raw:
            raise JobSpecError(f"{_shown(path, root)}: `{key}` is not a field; it follows from the folder. Remove it")
    try:
        return JobSpec(**known, **raw)
    except ValidationError as error:
        raise JobSpecError(f"{_shown(path, root)} cannot be used: {reasons(error)}") from error
    except TypeError as error:
        raise JobSpecError(f"{_shown(path, root)} cannot be used: {error}") from error


def _yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise JobSpecError(f"{path.parent.name}/{path.name} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise JobSpecError(f"{path.parent.name}/{path.name} must hold `field: value` lines")
    return cast("dict[str, Any]", raw)


def _source(name: str, root: Path, job_yaml: Path) -> SqlFile:
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\.sql)?", name):
        raise JobSpecError(f"{_shown(job_yaml, root)}: source {name!r} must be a file name of {SOURCES_FOLDER}/")
    return _sql(root / SOURCES_FOLDER / f"{name.removesuffix('.sql')}.sql", root)


def _topics_of(reads: Any) -> list[str]:
    return [str(topic) for topic in cast("list[Any]", reads)] if isinstance(reads, list) else []


def _ids_of(reads: Any, dedup: Mapping[str, Dedup], where: str) -> Dedup | None:
    """The setting `dedup` of the topics that a job reads; None: their events carry no ids."""
    found = [dedup.get(topic) for topic in _topics_of(reads)]
    if any(one != found[0] for one in found):
        raise JobSpecError(f"{where}: the topics of `reads` differ in `dedup`; read them in jobs of their own")
    return found[0] if found else None


def _for_ids(source: SqlFile, ids: Dedup | None, root: Path) -> SqlFile:
    """The source, or its variant for events without ids."""
    path = (root / source.path).with_suffix(WITHOUT_IDS)
    return _sql(path, root) if ids is None and path.is_file() else source


def _avro_variant(source: SqlFile, root: Path) -> SqlFile | None:
    path = (root / source.path).with_suffix(".avro.sql")
    return _sql(path, root) if path.is_file() else None


def _sql(path: Path, root: Path) -> SqlFile:
    if not path.is_file():
        raise JobSpecError(f"{_shown(path, root)} is missing; see flink_sql/README.md for what it holds")
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte order mark is no SQL
    except (OSError, UnicodeDecodeError) as error:
        raise JobSpecError(f"{_shown(path, root)} cannot be read as text ({error}); mend the file") from error
    return SqlFile(path=_shown(path, root), text=text)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _options(raw: Any, where: str) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise JobSpecError(f"{where}: `flink` must hold `option: value` lines")
    options: dict[str, str] = {}
    for key, value in cast("dict[Any, Any]", raw).items():
        if key in RESERVED_OPTIONS:
            raise JobSpecError(f"{where}: the option {key} is decided for each deployment; remove it from `flink`")
        if key in _FIELDS:
            raise JobSpecError(f"{where}: write `{_FIELDS[key]}: {value}` beside `flink`, in place of the option {key}")
        if _SECRET_SETTING.search(str(key)):
            raise JobSpecError(
                f"{where}: the option {key} holds a secret, and a deployment's options are recorded; "
                "set it in the cluster's own configuration"
            )
        if isinstance(value, dict | list) or value is None:
            raise JobSpecError(f"{where}: the option {key} needs a single value")
        options[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    return options


def _split(file: SqlFile) -> list[Statement]:
    try:
        statements = split(file.text)
    except JobSpecError as error:
        raise JobSpecError(f"{file.path}: {error}") from error
    if not statements:
        raise JobSpecError(f"{file.path} holds no statement; see flink_sql/README.md for what belongs in it")
    for statement in statements:
        _check_secrets(statement, file)
    return statements


def _check_definitions(file: SqlFile, kinds: tuple[str, ...]) -> None:
    for statement in _split(file):
        _check_definition(statement, file, kinds)


def _check_definition(statement: Statement, file: SqlFile, kinds: tuple[str, ...]) -> None:
    if not any(statement.begins("CREATE", "TEMPORARY", kind) for kind in kinds):
        allowed = " or ".join(f"CREATE TEMPORARY {kind}" for kind in kinds)
        beginning = " ".join(statement.words[:3]) or statement.text[:20]
        raise JobSpecError(f"{file.path}: only {allowed} may stand here, not `{beginning} ...`")


def _check_secrets(statement: Statement, file: SqlFile) -> None:
    """Refuse `'...password...' = 'text'`: a secret comes from a placeholder."""
    solid = [token for token in statement.tokens if token.kind is not TokenKind.SPACE]
    for key, equals, value in zip(solid, solid[1:], solid[2:], strict=False):
        is_option = key.kind is TokenKind.STRING and equals.text == "=" and value.kind is TokenKind.STRING
        if is_option and _SECRET_OPTION.search(key.text) and "${" not in value.text:
            raise JobSpecError(
                f"{file.path}: the option {key.text} holds a secret; write ${{postgres_password}} instead"
            )
