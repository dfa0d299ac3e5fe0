"""The entry point of `streamlit run`: the pages of `app.py`, and the files of the reports folder."""

from __future__ import annotations

from pathlib import Path

from streamlit.starlette import App

from gamestream_dagster.dashboard.files import report_files
from gamestream_dagster.settings import load_settings

app = App(Path(__file__).with_name("app.py"), routes=[report_files(load_settings().reports_dir)])
