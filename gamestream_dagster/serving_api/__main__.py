"""The process of the serving API: `python -m gamestream_dagster.serving_api`, on the stack of `GAMESTREAM_HOME`."""

from __future__ import annotations

import sys

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.serving_api.server import serve
from gamestream_dagster.settings import load_settings


def main() -> None:
    """Serve; what is wrong with the settings is one sentence."""
    try:
        serve(load_settings())
    except GamestreamError as error:
        sys.exit(f"Could not start: {error}")


if __name__ == "__main__":
    main()
