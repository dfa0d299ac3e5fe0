"""How verdicts are shown."""

from __future__ import annotations

from gamestream_dagster.dashboard.parts import Tone

TONES = {"MATCH": Tone.GOOD, "EXPLAINED": Tone.PLAIN, "DIFFERENT": Tone.BAD, "COULD_NOT_RUN": Tone.WARN}
MARKS = {"MATCH": "✓", "EXPLAINED": "≈", "DIFFERENT": "✗", "COULD_NOT_RUN": "?"}


def in_words(name: str) -> str:
    """`dead_lettered` -> `dead-lettered`, `COULD_NOT_RUN` -> `COULD NOT RUN`."""
    return "dead-lettered" if name == "dead_lettered" else name.replace("_", " ")
