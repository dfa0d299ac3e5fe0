"""The entry point of `streamlit run`: the pages of `shell/app.py`, and the files of the reports folder."""

from __future__ import annotations

from pathlib import Path

from streamlit.starlette import App

from gamestream_dagster.dashboard.files import report_files
from gamestream_dagster.settings import load_settings

# not beside the folder `pages`: Streamlit would look for pages of its own kind there, and find none at the first visit
APP = Path(__file__).with_name("shell") / "app.py"

app = App(APP, routes=[report_files(load_settings().reports_dir)])
