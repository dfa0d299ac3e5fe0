"""What a scrape has."""

from __future__ import annotations

from gamestream_dagster.settings import PROJECT_ROOT

FLINK_SERIES = PROJECT_ROOT / "deploy" / "prometheus" / "flink-series.txt"


def flink_series() -> frozenset[str]:
    """The declared list of Flink's series."""
    lines = FLINK_SERIES.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def names_of(scrape: str) -> frozenset[str]:
    """Names of the series in the text of a scrape."""
    return frozenset(
        line.partition("{")[0].partition(" ")[0] for line in scrape.splitlines() if line[:1] not in ("#", "")
    )
