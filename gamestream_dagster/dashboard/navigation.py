"""The pages that `pages/` holds, in the order of the navigation."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from gamestream_dagster.dashboard import pages


@dataclass(frozen=True)
class Page:
    """What the navigation needs to know; the page itself is imported when somebody opens it."""

    title: str
    about: str
    """One sentence under the title."""
    order: int
    """Place in the navigation; the page with the lowest is the one that opens first."""


@dataclass(frozen=True)
class Found:
    """A page and its folder."""

    page: Page
    name: str

    @property
    def path(self) -> str:
        """Its path in the address."""
        return self.name.replace("_", "-")

    def render(self) -> None:
        """Draw the page; called by Streamlit at each visit."""
        importlib.import_module(f"{pages.__name__}.{self.name}.page").render()


def load_pages() -> list[Found]:
    """Every page."""
    names = [one.name for one in pkgutil.iter_modules(pages.__path__) if one.ispkg]
    found = [Found(importlib.import_module(f"{pages.__name__}.{name}").PAGE, name) for name in names]
    return sorted(found, key=lambda one: (one.page.order, one.name))
