"""The lock covers every Python 3.11, and an installation that broke off is not taken for a finished one."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements.lock"


def locked() -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def missing(python: str, pins: dict[str, str]) -> list[str]:
    """What a package that is needed under this Python requires, and the lock lacks or has in another version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = {**default_environment(), "python_full_version": python, "python_version": "3.11"}
    texts = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    todo = [("gamestream", Requirement(text)) for text in texts]
    seen: set[tuple[str, str]] = set()
    found: list[str] = []
    while todo:
        by, requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name not in pins or not requirement.specifier.contains(pins[name], prereleases=True):
            found.append(f"{by} needs {requirement}")
            continue
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            for text in (distribution(name).requires or []) if _installed(name) else []:
                one = Requirement(text)
                if one.marker is None or one.marker.evaluate({**environment, "extra": extra}):
                    todo.append((name, one))
    return found


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.3", "3.11.4", "3.11.99"])
def test_the_lock_holds_what_every_python_3_11_needs(python: str) -> None:
    assert missing(python, locked()) == []


def test_a_package_for_old_pythons_alone_is_missed() -> None:
    pins = {name: version for name, version in locked().items() if name != "async-timeout"}
    assert [one.split()[0] for one in missing("3.11.2", pins)] == ["valkey", "redis"]
    assert missing("3.11.7", pins) == []


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK.read_text(encoding="utf-8")


STUB = """#!/bin/sh
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; printf '#!/bin/sh\\ntouch .venv/filled\\n' > "$3/bin/uv"
             chmod +x "$3/bin/uv";;
  "-m pip") {pip};;
  "-c import ensurepip"*) {ensurepip};;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def install(project: Path, pip: str = "true", ensurepip: str = "true") -> subprocess.CompletedProcess[str]:
    python = project / "python3.11"
    python.write_text(STUB.format(pip=pip, ensurepip=ensurepip), encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    command = ["make", f"PYTHON={python}", "install"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=clean)


def test_a_failed_installation_leaves_nothing_behind(project: Path) -> None:
    failed = install(project, pip="echo no network >&2; exit 1")
    assert failed.returncode != 0
    assert "no network" in failed.stderr
    assert ".venv was removed" in failed.stdout
    assert not (project / ".venv").exists()
    assert install(project).returncode == 0
    assert (project / ".venv" / ".installed").exists()


def test_an_environment_that_was_broken_off_is_made_anew(project: Path) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    broken = project / ".venv" / "bin" / "python"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    assert install(project).returncode == 0
    assert (project / ".venv" / "filled").exists()


def test_a_failed_update_is_no_finished_environment(project: Path) -> None:
    assert install(project).returncode == 0
    marker = project / ".venv" / ".installed"
    os.utime(project / "requirements.lock", (marker.stat().st_mtime + 5,) * 2)
    (project / ".venv" / "bin" / "uv").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert install(project).returncode != 0
    assert not marker.exists()
    assert install(project).returncode == 0


def test_debians_python_without_venv_says_what_to_install(project: Path) -> None:
    failed = install(project, ensurepip="exit 1")
    assert failed.returncode != 0
    assert "apt-get install python3.11-venv" in failed.stdout
    assert not (project / ".venv").exists()
