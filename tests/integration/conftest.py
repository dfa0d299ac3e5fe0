"""Every test of this folder needs the real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m 'not integration'` is the quick run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
