"""Settings of a stack: one immutable value that every command, asset and page is given."""

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.settings.choices import (
    Ranks,
    RecomputeEngine,
    Season,
    StreamProfile,
    TopicFormat,
    TopicProfile,
)
from gamestream_dagster.settings.loading import ENV_PREFIX, load_settings
from gamestream_dagster.settings.model import PROJECT_ROOT, REPORTS_PATH, TASK_SLOTS, Settings

__all__ = [
    "ENV_PREFIX",
    "PROJECT_ROOT",
    "REPORTS_PATH",
    "TASK_SLOTS",
    "Ranks",
    "RecomputeEngine",
    "Season",
    "Settings",
    "SettingsError",
    "StreamProfile",
    "TopicFormat",
    "TopicProfile",
    "load_settings",
]
