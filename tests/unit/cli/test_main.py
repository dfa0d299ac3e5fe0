"""The one handler of the command line: whatever goes wrong is a sentence and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import duckdb
import httpx
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy.exc
import typer
import yaml
from rich.table import Table

from gamestream_dagster.catalogue.boards import CatalogueError
from gamestream_dagster.cli import hints
from gamestream_dagster.cli import main as module
from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.errors import GamestreamError, Transient, sentence_of

MARKUP = "[/team] [bold]x [link=y]\\"

STATEMENT_FAILED = sqlalchemy.exc.OperationalError(
    "SELECT :secret", {"secret": "hush"}, psycopg.OperationalError("is down")
)


@pytest.fixture(autouse=True)
def _own_commands() -> Iterator[None]:
    """The commands of a test's own program are not kept for the sentences of other tests."""
    yield
    hints._commands.cache_clear()


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command("fail")
    def fail() -> None:
        raise error

    @app.command("other")
    def other() -> None: ...

    return app


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, *more: str
) -> tuple[object, str]:
    """Exit code and what stderr says."""
    monkeypatch.setattr(module, "build", lambda: failing(error))
    with pytest.raises(SystemExit) as caught:
        module.main(["fail", *more])
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return caught.value.code, said.err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CouldNotRun(f"{MARKUP} is no file."), f"Could not run: {MARKUP} is no file."),
        (CatalogueError("output.yaml: mend it."), "output.yaml: mend it."),
        (OSError(errno.ENOSPC, "No space left on device", "/x/[/a]"), "/x/[/a]: No space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied; give yourself the right"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "/x: No such file; give another path"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused; see `gamestream status`"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "not UTF-8"),
        (yaml.YAMLError("line 3"), "A YAML file cannot be read (line 3)"),
        (STATEMENT_FAILED, "Postgres did not do what was asked (is down)"),
        (psycopg.OperationalError("is down"), "Postgres"),
        (duckdb.OutOfMemoryException("full"), "DuckDB could not compute this (full)"),
        (pa.ArrowInvalid("no footer"), "A Parquet file could not be read or written (no footer)"),
        (confluent_kafka.KafkaException(confluent_kafka.KafkaError(-195)), "Kafka did not do"),
        (httpx.ReadTimeout("timed out"), "A server did not answer (timed out)"),
        (RecursionError("deep"), "nested too deeply"),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError(f"{MARKUP}"), f"Unexpected ZeroDivisionError: {MARKUP}. This is a fault of gamestream"),
        (AssertionError(), "Unexpected AssertionError: AssertionError"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_every_error_is_a_sentence_and_exit_2(monkeypatch, capsys, error: BaseException, said: str):
    code, told = ended(monkeypatch, capsys, error)
    assert code == 2
    assert said in told
    assert "hush" not in told
    assert told.rstrip().endswith(".")


def test_ctrl_c_is_130_and_an_answer_not_given_2(monkeypatch, capsys):
    assert ended(monkeypatch, capsys, KeyboardInterrupt())[0] == 130
    assert ended(monkeypatch, capsys, typer.Abort())[0] == 2


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_exit_codes_of_commands_are_kept(monkeypatch, capsys, code: int):
    assert ended(monkeypatch, capsys, typer.Exit(code)) == (code, "")


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(module, "build", lambda: failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        module.main(["fail", "--debug"])


def run(*arguments: str, tmp_path: Path, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from gamestream_dagster.cli.main import main; main()", *arguments]
    environment = {**os.environ, "GAMESTREAM_HOME": str(tmp_path), "COLUMNS": "200"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def test_a_reader_that_closes_the_output_is_told_and_is_no_difference(tmp_path: Path):
    process = run("simulate", "--help", tmp_path=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    told = process.stderr.read()
    assert process.wait(60) == 2, told
    assert "The reader of the output closed it" in told
    assert "Traceback" not in told
    assert "Exception ignored" not in told


def test_ctrl_c_while_following_a_log(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text("line\n")
    process = run("logs", "kafka", "--follow", tmp_path=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert "Traceback" not in told


def test_text_of_users_is_never_markup():
    console = PlainConsole(width=200)
    table = Table("A", MARKUP)
    table.add_row(MARKUP, "[/]")
    with console.capture() as captured:
        console.print(MARKUP)
        console.print(table)
        console.print(styled("[bold]{}[/] {}", MARKUP, "[/]"))
        with console.status(MARKUP) as status:
            status.update("[/x]")
    assert captured.get().count("[/team] [bold]x [link=y]") == 4


def test_consoles_are_made_in_one_place():
    """A console of Rich's own would read names as markup."""
    folder = Path(module.__file__).parent
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name != "console.py":
            assert "import Console" not in text, path
            assert "from_markup" not in text, path
            assert "markup=True" not in text, path


def test_one_root():
    from gamestream_dagster.archive.errors import ArchiveBusyError, ArchiveError
    from gamestream_dagster.clients.errors import ServiceError, TransientServiceError
    from gamestream_dagster.drill.errors import DrillError
    from gamestream_dagster.events.avro import AvroFormatError
    from gamestream_dagster.events.file_lines import ReadingError
    from gamestream_dagster.events.producer import SendingError
    from gamestream_dagster.flink_jobs.errors import FlinkJobError, TransientFlinkJobError
    from gamestream_dagster.platform.errors import PlatformError
    from gamestream_dagster.provisioning.errors import ProvisioningError
    from gamestream_dagster.reconciliation.errors import ReconciliationError
    from gamestream_dagster.settings import SettingsError

    roots = (ArchiveError, ServiceError, DrillError, AvroFormatError, ReadingError, SendingError, FlinkJobError)
    more = (PlatformError, ProvisioningError, ReconciliationError, SettingsError, CatalogueError, CouldNotRun)
    assert all(issubclass(root, GamestreamError) for root in roots + more)
    assert all(issubclass(one, Transient) for one in (ArchiveBusyError, TransientServiceError, TransientFlinkJobError))
    assert sentence_of(SettingsError("Say it.")) == "Say it."
