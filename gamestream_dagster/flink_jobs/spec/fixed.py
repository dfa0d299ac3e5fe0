"""Settings that a job's first state fixes: a version with other values cannot resume from that state.

A compiled plan shows operators and types, but none of these settings. Options that Flink accepts with any state are
left out: parallelism, checkpointing, buffers, the changelog, and options that change the plan itself.
"""

from __future__ import annotations

from collections.abc import Mapping

PARALLELISM = "parallelism.default"
MAX_PARALLELISM = "pipeline.max-parallelism"
DEFAULT_MAX_PARALLELISM = 128
MOST_MAX_PARALLELISM = 1 << 15
_BACKEND = "state.backend.type"

# Option -> its default, and why state does not survive a change.
_FIXED: dict[str, tuple[str, str]] = {
    "table.exec.uid.generation": ("plan_only", "Flink finds each operator's state by its id"),
    "table.exec.uid.format": ("<id>_<transformation>", "Flink finds each operator's state by its id"),
    "pipeline.auto-generate-uids": ("true", "Flink finds each operator's state by its id"),
    "pipeline.operator-chaining.enabled": ("true", "Flink derives the ids of operators from their chains"),
    "table.exec.async-state.enabled": ("false", "asynchronous operators keep their state in another form"),
    "table.local-time-zone": ("default", "days and hours in the state are those of this zone"),
    "pipeline.generic-types": ("true", "it is another form of the state's values"),
    "pipeline.force-avro": ("false", "it is another form of the state's values"),
    "pipeline.force-kryo": ("false", "it is another form of the state's values"),
    "pipeline.serialization-config": ("", "it is another form of the state's values"),
}


def max_parallelism(options: Mapping[str, str]) -> int:
    """The number of key groups of a job with these options; by default, what Flink 2 derives."""
    written = options.get(MAX_PARALLELISM)
    if written is not None and written.isdigit():
        return int(written)
    parallelism = int(options.get(PARALLELISM, "1"))
    needed = 1 << max(parallelism + parallelism // 2 - 1, 0).bit_length()  # a power of two
    return min(max(needed, DEFAULT_MAX_PARALLELISM), MOST_MAX_PARALLELISM)


def fixed_changes(ran: Mapping[str, str], wanted: Mapping[str, str], *, savepoint: bool) -> tuple[str, ...]:
    """Why a version with the options `wanted` cannot resume from the state of one with `ran`, a clause each.

    Args:
        ran: the options of the version that made the state.
        wanted: the options of the version that is to resume from it.
        savepoint: the state is, or will be, a savepoint; a checkpoint also depends on its state backend.
    """
    found: list[str] = []
    was, now = max_parallelism(ran), max_parallelism(wanted)
    if was != now:
        found.append(f"its max_parallelism is {now} and the state has {was} key groups, which the first state fixes")
    for option, (default, why) in _FIXED.items():
        old, new = (options.get(option, default) for options in (ran, wanted))
        if old.lower() != new.lower():
            found.append(f"its {option} is {new or 'empty'} and the state was made with {old or 'none'}: {why}")
    old, new = (options.get(_BACKEND, "hashmap").lower() for options in (ran, wanted))
    if old != new and ("forst" in (old, new) or not savepoint):
        why = "a checkpoint can only be read by the backend that wrote it" if not savepoint else "forst reads its own"
        found.append(f"its {_BACKEND} is {new} and the state was made with {old}: {why}")
    return tuple(found)
