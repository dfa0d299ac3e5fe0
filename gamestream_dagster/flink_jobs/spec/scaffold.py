"""First versions of outputs and jobs, which run as they are: the folders that a person then changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

from gamestream_dagster.catalogue.boards import DESCRIPTION, IDENTIFIER, OUTPUTS
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.catalogue import JOB_NAME, SOURCES_FOLDER, load_job
from gamestream_dagster.flink_jobs.spec.job_outputs import ledgers_of, views_of
from gamestream_dagster.flink_jobs.spec.job_spec import SqlFile
from gamestream_dagster.warehouse.tables import is_system_table

OWNER = "team:game-analytics"
_TEMPLATES = Path(__file__).parent / "templates" / "new"
_VARIANTS = (".avro.sql", ".without_ids.sql")


@dataclass(frozen=True)
class Made:
    """What was written."""

    files: tuple[Path, ...]
    job: str
    output: str


def new_output(root: Path, job: str, name: str, *, ranked: bool = True) -> Made:
    """Add an output to a job: its folder, and its view at the end of query.sql.

    Args:
        root: folder of the jobs.
        job: name of the job.
        name: of the output.
        ranked: a board; else an output without ranks.

    Raises:
        JobSpecError: the name cannot be used, or the job's sources have no view of the events that count.
    """
    spec = load_job(job, root)
    _check_name(root, name)
    if name in views_of((*spec.sources, spec.query)):
        raise JobSpecError(f"{job} defines a view {name!r} already; choose another name")
    ledgers = ledgers_of(spec.sources, spec.reads, None, f"{job}/job.yaml")
    if not ledgers:
        raise JobSpecError(
            f"{job} has no view `counted_...` of the events that count, so no first version can be made; "
            f"write {job}/{OUTPUTS}/{name}/ by hand (flink_sql/README.md, Outputs)"
        )
    made = _write_output(root, job, name, ledgers[0].counted, ranked)
    if len(spec.reads) > 1:
        with made[0].open("a", encoding="utf-8") as described:
            described.write(f"source: {ledgers[0].topic}  # of the topics that the job reads\n")
    return Made(made, job, name)


def new_job(root: Path, name: str, topic: str, *, ranked: bool = True) -> Made:
    """Write a job's folder with one output, named like the job without its version.

    Raises:
        JobSpecError: the name cannot be used, or no sources read the topic.
    """
    if not JOB_NAME.match(name):
        raise JobSpecError(
            f"{name!r} is no name for a job: write `<small_letters>_v<number>`, such as {_stem(name)}_v1"
        )
    if (root / name).exists():
        raise JobSpecError(f"{name} exists already; choose another name, such as that with the next version")
    output = _stem(name)
    _check_name(root, output)
    sources = _sources_of(root, topic)
    counted = next(one for one in views_of(sources) if one.startswith("counted_"))
    values = {
        "title": _title(output),
        "owner": OWNER,
        "topic": topic,
        "sources": ", ".join(Path(source.path).name for source in sources),
    }
    folder = root / name
    folder.mkdir()
    files = [folder / "job.yaml", folder / "query.sql"]
    for file in files:
        file.write_text(_filled(file.name, values), encoding="utf-8")
    return Made((*files, *_write_output(root, name, output, counted, ranked)[:-1]), name, output)


def _stem(name: str) -> str:
    return name.rpartition("_v")[0] or name


def _check_name(root: Path, name: str) -> None:
    if not IDENTIFIER.match(name):
        raise JobSpecError(
            f"{name!r} is not an identifier: use small letters, digits and _, at most 63, a letter first"
        )
    if is_system_table(name):
        raise JobSpecError(f"{name!r} is the name of a system table; choose another name")
    taken = next(iter(root.glob(f"*/{OUTPUTS}/{name}/{DESCRIPTION}")), None)
    if taken is not None:
        raise JobSpecError(f"{taken.parents[2].name} has an output {name!r} already; choose another name")


def _sources_of(root: Path, topic: str) -> list[SqlFile]:
    """The files that read a topic: its table, the view of what is accepted, the view of what counts."""
    files = [
        SqlFile(path=f"{SOURCES_FOLDER}/{path.name}", text=path.read_text(encoding="utf-8"))
        for path in sorted((root / SOURCES_FOLDER).glob("*.sql"))
        if not path.name.endswith(_VARIANTS)
    ]
    table = next((file for file in files if f"'topic' = '{topic}'" in file.text), None)
    checked = _reader(files, "checked_", table)
    counted = _reader(files, "counted_", checked)
    if table is None or checked is None or counted is None:
        raise JobSpecError(
            f"{SOURCES_FOLDER}/ has no table over the topic {topic!r} with views `checked_...` and `counted_...` of "
            "it; write them as those of user-score are (flink_sql/README.md, SQL)"
        )
    return [table, checked, counted]


def _reader(files: list[SqlFile], prefix: str, source: SqlFile | None) -> SqlFile | None:
    """The view whose name begins so and that reads what another file defines, which is named like its file."""
    if source is None:
        return None
    named = f"FROM {Path(source.path).stem}"
    return next((one for one in files if Path(one.path).name.startswith(prefix) and named in one.text), None)


def _write_output(root: Path, job: str, name: str, counted: str, ranked: bool) -> tuple[Path, ...]:
    kind, folder, query = "board" if ranked else "keyed", root / job / OUTPUTS / name, root / job / "query.sql"
    values = {"name": name, "title": _title(name), "owner": OWNER, "counted": counted}
    folder.mkdir(parents=True)
    described, recompute = folder / DESCRIPTION, folder / "recompute.sql"
    described.write_text(_filled(f"{kind}.yaml", values), encoding="utf-8")
    recompute.write_text(_filled(f"{kind}_recompute.sql", values), encoding="utf-8")
    with query.open("a", encoding="utf-8") as text:
        text.write(_filled(f"{kind}.sql", values))
    return described, recompute, query


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((_TEMPLATES / name).read_text(encoding="utf-8")).substitute(values)
