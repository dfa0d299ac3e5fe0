"""docs/experiments.md: its commands give its output."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from gamestream_dagster.cli.main import main
from gamestream_dagster.experiments.plan import plan_of
from gamestream_dagster.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, run = blocks("bash")[0].strip().rsplit("\n", 1)
    subprocess.run(["bash", "-ec", make], check=True, timeout=60)
    with pytest.raises(SystemExit) as ended:
        main(run.split()[1:])
    assert ended.value.code == 0
    shown = next(block for block in re.findall(r"```\n(ARM.*?)```", PAGE, re.DOTALL))
    assert capsys.readouterr().out == shown
    with pytest.raises(SystemExit) as ended:
        main(["certificate", "verify", "cookie_cats.json"])
    assert ended.value.code == 0


def test_the_plan_of_the_page_is_one() -> None:
    for text in blocks("yaml"):
        plan_of(yaml.safe_load(text), "docs/experiments.md")
