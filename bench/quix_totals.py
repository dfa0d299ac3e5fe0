"""A peer: the total of each player by quixstreams, its state in RocksDB with a changelog topic.

Run by `gamestream bench peers` with a Python that has quixstreams; it imports nothing of this project. It ranks
nothing: its state is per key, so a board over all keys needs a second step over one partition.
"""

import json
import sys
import tempfile
import time
import uuid

from quixstreams import Application  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Read the topic to its end, and print the greatest totals and figures as JSON."""
    asked = json.loads(sys.argv[1])
    totals: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="gamestream-") as folder:
        app = Application(
            broker_address=asked["bootstrap"],
            consumer_group=f"bench-{uuid.uuid4().hex[:8]}",
            auto_offset_reset="earliest",
            state_dir=folder,
            loglevel="WARNING",
        )
        frame = app.dataframe(app.topic(asked["topic"], value_deserializer="json"))

        def count(event, state):
            total = state.get("total", 0) + event["score"]
            state.set("total", total)
            totals[event["user_id"]] = total

        frame = frame.update(count, stateful=True)
        started, cpu = time.perf_counter(), time.process_time()
        app.run(count=asked["events"], timeout=120)
        seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    best = sorted(totals.items(), key=lambda one: (-one[1], one[0]))[:10]
    rows = {"top_players": [{"user_id": user, "total_score": total} for user, total in best]}
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": spent, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
