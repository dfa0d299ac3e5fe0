"""The stores of a stack, in the order in which a player is erased from them.

The archive comes first, as all recomputes read it; then what was computed from it; then the jobs, whose start from
nothing empties their outputs; then whatever the outputs still hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from gamestream_dagster.privacy.stores.archives import Archives
from gamestream_dagster.privacy.stores.counts import ErasedCounts
from gamestream_dagster.privacy.stores.files import LeftFiles
from gamestream_dagster.privacy.stores.model import Store
from gamestream_dagster.privacy.stores.ranks import RanksStore
from gamestream_dagster.privacy.stores.settled import SettledFiles
from gamestream_dagster.privacy.stores.states import JobStates
from gamestream_dagster.privacy.stores.topics import Topics
from gamestream_dagster.privacy.stores.warehouse import Warehouse
from gamestream_dagster.settings import Settings

Stores = Callable[[datetime | None], Sequence[Store]]
"""The stores, for a player who is on the suppression list since a moment; None: not yet."""


def stores_of(settings: Settings) -> Stores:
    """The stores of a stack."""
    return lambda since: (
        Archives(settings),
        SettledFiles(settings),
        JobStates(settings, since),
        ErasedCounts(settings),
        Topics(settings),
        Warehouse(settings),
        RanksStore(settings),
        LeftFiles(settings),
    )
