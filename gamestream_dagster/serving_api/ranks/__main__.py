"""The process of the loader: `python -m gamestream_dagster.serving_api.ranks`, on the stack of `GAMESTREAM_HOME`."""

from __future__ import annotations

import sys

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.serving_api.ranks.running import load_for_ever
from gamestream_dagster.settings import load_settings


def main() -> None:
    """Load until SIGTERM; what is wrong with the settings is one sentence."""
    try:
        load_for_ever(load_settings())
    except GamestreamError as error:
        sys.exit(f"Could not start: {error}")


if __name__ == "__main__":
    main()
