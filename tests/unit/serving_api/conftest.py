"""The serving API on fakes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fakes.serving import ServingApi


@pytest.fixture
def api() -> Iterator[ServingApi]:
    made = ServingApi()
    yield made
    made.close()
