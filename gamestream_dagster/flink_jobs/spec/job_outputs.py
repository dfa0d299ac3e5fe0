"""What a job's folder writes: the outputs that it describes, the views that feed them, and the views of its ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gamestream_dagster.catalogue.boards import DESCRIPTION, OUTPUTS, Board, CatalogueError, load_output
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.job_spec import SqlFile
from gamestream_dagster.flink_jobs.spec.rendered_sinks import LedgerViews
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind, split

# Names that a folder had before its sinks were rendered; what stands there would be passed over in silence.
_FORMER = ("sinks.sql", "boards")
_CHECKED, _COUNTED = "checked_", "counted_"


class LedgerOptions(BaseModel):
    """The field `ledger` of a job.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    copies: bool = True


def outputs_of(folder: Path, query: SqlFile) -> tuple[Board, ...]:
    """The outputs of a job's folder, in the order in which `query.sql` defines the views that feed them.

    Raises:
        JobSpecError: an output has no view; says which and the mend.
    """
    job = folder.name
    for former in _FORMER:
        if (folder / former).exists():
            raise JobSpecError(
                f"{job}/{former} is not read: the sinks are rendered from {OUTPUTS}/<name>/{DESCRIPTION}; "
                "describe each output there (flink_sql/README.md) and remove it"
            )
    try:
        described = {path.parent.name: load_output(path) for path in sorted(folder.glob(f"{OUTPUTS}/*/{DESCRIPTION}"))}
    except CatalogueError as error:
        raise JobSpecError(str(error)) from error
    views = views_of([query])
    for name in described:
        if name not in views:
            raise JobSpecError(
                f"{query.path} has no view {name!r}: the view with an output's name feeds it; "
                f"define it, or remove {OUTPUTS}/{name}"
            )
    return tuple(described[name] for name in views if name in described)


def check_names(files: Sequence[SqlFile]) -> None:
    """See that no two statements of a job define one name: Flink would refuse the second, wherever it comes from.

    Raises:
        JobSpecError: names the definition and both files.
    """
    seen: dict[str, str] = {}
    for file in files:
        for name in definitions_of(file):
            if name in seen:
                raise JobSpecError(
                    f"{file.path} defines {name!r}, which {seen[name]} defines already; rename one of them"
                )
            seen[name] = file.path


def ledgers_of(sources: Sequence[SqlFile], reads: Sequence[str], options: Any, where: str) -> tuple[LedgerViews, ...]:
    """A job's ledgers by topic: the views `checked_...` and `counted_...` of its sources, in the order of `reads`.

    A topic without both views has no ledger.

    Args:
        sources: the files that the job lists.
        reads: the topics that it reads.
        options: the field `ledger` of its job.yaml.
        where: the file, for messages.

    Raises:
        JobSpecError: the field cannot be used, or it is not clear which view is of which topic.
    """
    try:
        chosen = LedgerOptions() if options is None else LedgerOptions.model_validate(options)
    except ValidationError as error:
        raise JobSpecError(f"{where}: `ledger` can hold `copies: false` alone") from error
    checked, counted = _views_by_topic(sources, _CHECKED, where), _views_by_topic(sources, _COUNTED, where)
    if strange := next((topic for topic in checked if topic in counted and topic not in reads), None):
        raise JobSpecError(f"{where}: {checked[strange]} reads the topic {strange}; list it in `reads`")
    both = [topic for topic in reads if topic in checked and topic in counted]
    return tuple(LedgerViews(topic, checked[topic], counted[topic], chosen.copies) for topic in both)


def _views_by_topic(sources: Sequence[SqlFile], prefix: str, where: str) -> dict[str, str]:
    """The view of each topic whose name begins so, by the tables that it reads, directly or through other views."""
    topics: dict[str, set[str]] = {}  # of each table and view
    found: dict[str, str] = {}
    for file in sources:
        for statement in split(file.text):
            named = definitions_of(SqlFile(path=file.path, text=statement.text))
            if not named:
                continue
            (name,) = named
            words = {
                token.text.strip("`") for token in statement.tokens if token.kind in (TokenKind.WORD, TokenKind.QUOTED)
            }
            under = set(SqlFile(path=file.path, text=statement.text).topics)
            topics[name] = under.union(*(topics[word] for word in words if word in topics))
            if not name.startswith(prefix):
                continue
            if len(topics[name]) > 1:
                listed = ", ".join(sorted(topics[name]))
                raise JobSpecError(f"{where}: {name} reads {listed}; a ledger counts one topic, write a view for each")
            for topic in topics[name]:
                if topic in found:
                    raise JobSpecError(f"{where}: {found[topic]} and {name} both read {topic}; keep one of them")
                found[topic] = name
    return found


def views_of(files: Iterable[SqlFile]) -> list[str]:
    """Names of the views that these files define, in order."""
    return [name for file in files for name in definitions_of(file, "VIEW")]


def definitions_of(file: SqlFile, *kinds: str) -> list[str]:
    """Names of the tables and views that a file defines, in order; of `kinds` alone if given."""
    names: list[str] = []
    for statement in split(file.text):
        if any(statement.begins("CREATE", "TEMPORARY", kind) for kind in kinds or ("TABLE", "VIEW")):
            named = [token for token in statement.tokens if token.kind in (TokenKind.WORD, TokenKind.QUOTED)]
            names.append(named[3].text.strip("`"))
    return names
