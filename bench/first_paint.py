"""When a headless browser first shows a frame with rows of boards. Needs Playwright and a Chromium of the system."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
SCRIPT = Path(__file__).with_name("first_paint.js")
LIMIT_MS = 60_000


@dataclass(frozen=True)
class Paints:
    """Seconds of each visit, each with an empty cache; or why there was none."""

    seconds: list[float] = field(default_factory=list)
    reason: str = ""


def first_paint(url: str, visits: int) -> Paints:
    """Visit the page `visits` times after one that is thrown away; each time with a new profile."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return Paints(reason="Playwright is not installed (it is part of the test tools)")
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if chromium is None:
        return Paints(reason="there is no Chromium; get one with `apt-get install chromium`")
    seconds: list[float] = []
    with sync_playwright() as playwright:
        for _ in range(visits + 1):
            with tempfile.TemporaryDirectory(prefix="gamestream-") as profile:
                browser = playwright.chromium.launch_persistent_context(
                    user_data_dir=profile, executable_path=chromium, headless=True, args=list(FLAGS)
                )
                try:
                    page = browser.pages[0] if browser.pages else browser.new_page()
                    page.add_init_script(SCRIPT.read_text(encoding="utf-8"))
                    page.goto(url, timeout=LIMIT_MS)
                    page.wait_for_function("window.firstFrameWithRows !== undefined", timeout=LIMIT_MS)
                    seconds.append(float(page.evaluate("window.firstFrameWithRows")) / 1000)
                finally:
                    browser.close()
    return Paints(seconds[1:])
