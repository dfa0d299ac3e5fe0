"""The files for Prometheus and Alertmanager: parsed, and checked with promtool where the machine has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from gamestream_dagster.alerts.cases import load_cases
from gamestream_dagster.alerts.export import ROUTES_FILE, RULES_FILE, write
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.settings import PROJECT_ROOT

TOOLS = PROJECT_ROOT / ".venv" / "prometheus" / "usr" / "bin"
"""Where `make prometheus-tools` puts Debian's promtool and amtool."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("alerts")
    write(found, load_book(), load_cases())
    return found


def tool(name: str) -> str:
    """The program; its absence on a machine with neither is a skip, and `.ci/run` installs it."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS))
    if found is None:
        pytest.skip(f"{name} is not on this machine: make prometheus-tools")
    return found


def test_every_rule_is_exported_with_an_expression_that_parses(folder: Path) -> None:
    (group,) = yaml.safe_load((folder / RULES_FILE).read_text(encoding="utf-8"))["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert set(rules) == {rule.name for rule in load_book().rules}
    for rule in rules.values():
        promql_parser.parse(rule["expr"])
        assert rule["annotations"]["runbook"].startswith("docs/runbooks/")
    assert rules["high_kafka_lag"]["for"] == "300s"
    assert rules["job_parked"]["expr"] == 'gamestream_alert_raised{alert_id=~"job/.*"} == 1'


def test_what_is_deployed_is_what_is_exported(folder: Path) -> None:
    for name, place in ((RULES_FILE, "prometheus"), (ROUTES_FILE, "alertmanager")):
        deployed = PROJECT_ROOT / "deploy" / place / name
        assert deployed.read_text(encoding="utf-8") == (folder / name).read_text(encoding="utf-8"), (
            f"write it anew: gamestream alerts export --out DIR, then copy {name} to {deployed.parent}"
        )


def test_the_routes_hold_no_address(folder: Path) -> None:
    written = yaml.safe_load((folder / ROUTES_FILE).read_text(encoding="utf-8"))
    assert [one["receiver"] for one in written["route"]["routes"]] == ["oncall", "team"]
    assert [one["continue"] for one in written["route"]["routes"]] == [True, False]
    for receiver in written["receivers"][1:]:
        (hook,) = receiver["webhook_configs"]
        assert hook == {"url_file": f"/etc/alertmanager/secrets/{receiver['name']}", "send_resolved": True}


def test_promtool_finds_the_same_states(folder: Path) -> None:
    promtool = tool("promtool")
    checked = subprocess.run(
        [promtool, "check", "rules", str(folder / RULES_FILE)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    scrape = str(PROJECT_ROOT / "deploy" / "prometheus" / "prometheus.yml")
    configured = subprocess.run([promtool, "check", "config", scrape], capture_output=True, text=True, check=False)
    assert configured.returncode == 0, configured.stderr
    tests = sorted(str(path) for path in folder.glob("*.tests.yml"))
    done = subprocess.run([promtool, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_the_routes(folder: Path, tmp_path: Path) -> None:
    amtool = tool("amtool")
    # Debian 12 has Alertmanager 0.25, which knows no url_file
    text = (folder / ROUTES_FILE).read_text(encoding="utf-8")
    older = tmp_path / "alertmanager.yml"
    older.write_text(text.replace("url_file: /etc/", "url: http://127.0.0.1:9/"), encoding="utf-8")
    done = subprocess.run([amtool, "check-config", str(older)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
