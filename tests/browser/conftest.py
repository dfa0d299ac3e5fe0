"""A headless Chromium of the system, with a fresh profile, and the dashboard as the platform starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from gamestream_dagster.platform import dashboard, ports
from gamestream_dagster.settings import Settings

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 60
SCREENSHOTS = "GAMESTREAM_SCREENSHOTS"
expect.set_options(timeout=15_000)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of this name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These need the real servers and a browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("servers"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; without one the tests fail, because a page nobody looked at is not tested."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    pytest.fail("There is no Chromium for the browser tests; get one with `apt-get install chromium`.", pytrace=False)


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A page of 1440 x 960 that may talk to 127.0.0.1 alone; a request to anywhere else fails the test."""
    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            user_data_dir=tmp_path / "profile",
            executable_path=chromium,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1440, "height": 960},
        )
        browser.set_default_timeout(20_000)
        opened = browser.pages[0] if browser.pages else browser.new_page()
        opened.on("request", lambda request: outside.append(request.url))
        yield opened
        browser.close()
    local = ("http://127.0.0.1:", "data:", "blob:", "about:", "file:")
    assert not [url for url in outside if not url.startswith(local)]


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures go: the folder that `GAMESTREAM_SCREENSHOTS` names, else the test's own."""
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def serve(stack: Settings, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start the dashboard over a database, as the platform does but on a free port; gives its address.

    More names and values are those of its environment.
    """
    with ExitStack() as running:

        def start(database: Settings, **environment: str) -> str:
            settings = database.model_copy(
                update={
                    "port_base": ports.free_base(31600),
                    "postgres_port": stack.postgres_port or stack.port("postgres"),
                }
            )
            process = running.enter_context(_process(settings, tmp_path, environment))
            address = settings.dashboard_url
            _wait_for(process, f"{address}/_stcore/health", tmp_path)
            return address

        yield start


class _process:  # noqa: N801 - a context manager, used like a function
    """The dashboard's process; gone when the block ends."""

    def __init__(self, settings: Settings, folder: Path, more: dict[str, str]) -> None:
        dashboard.prepare(settings)
        program = dashboard.program(settings)
        environment = {
            **os.environ,
            **program.environment,
            "GAMESTREAM_PORT_BASE": str(settings.port_base),
            "GAMESTREAM_POSTGRES_PORT": str(settings.postgres_port),
            "GAMESTREAM_POSTGRES_DATABASE": settings.postgres_database,
            **more,
        }
        self.log = (folder / "dashboard.log").open("w")
        self.process = subprocess.Popen(
            program.command, env=environment, cwd=program.directory, stdout=self.log, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()


def _wait_for(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    said = (folder / "dashboard.log").read_text(encoding="utf-8")[-2000:]
    pytest.fail(f"The dashboard does not answer on {url} within {START_SECONDS} s. It said:\n{said}", pytrace=False)
