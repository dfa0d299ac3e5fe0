"""The application on fakes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fakes.ingest import Api


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()
