"""No table cuts a name: not on a narrow terminal, not in a pipe."""

from __future__ import annotations

import pytest
from rich.table import Table

from gamestream_dagster.cli.tables import print_table

LONG = "a_name_of_" + "x" * 300


def table() -> Table:
    made = Table("NAME", "VALUE", box=None)
    made.add_row(LONG, "1")
    return made


def test_a_pipe_gets_one_line_a_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(table())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert LONG in lines[1]
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("columns", [20, 80])
def test_columns_decides_the_width_and_cells_fold(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(table())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "".join(line.split(" ")[0 if line[0] != " " else 1] for line in lines[1:]) == LONG
    assert "…" not in "".join(lines)
