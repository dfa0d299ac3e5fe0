"""A producer that keeps what it is given, and confirms it as a broker would."""

from __future__ import annotations

from collections.abc import Callable

from gamestream_dagster.events.producer import Deliveries, RecordTooLargeError


class KeptRecords:
    """Stands in for `ScoreProducer`."""

    def __init__(self, interrupt_after: int | None = None, refuse_over: int | None = None) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.deliveries = Deliveries()
        self.polled_seconds = 0.0
        self.flushed = False
        self._pending: list[Callable[[], None]] = []
        self._interrupt_after = interrupt_after
        self._refuse_over = refuse_over

    def send(
        self,
        key: bytes,
        value: bytes | None,
        on_delivered: Callable[[int, int], None] | None = None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        if self._interrupt_after is not None and len(self.records) >= self._interrupt_after:
            raise KeyboardInterrupt
        if self._refuse_over is not None and len(value or b"") > self._refuse_over:
            if on_refused is None:
                raise RecordTooLargeError("too large")
            self._pending.append(lambda: on_refused("too large"))
            return
        offset = len(self.records)
        self.records.append((key, value))
        if on_delivered is not None:
            self._pending.append(lambda: on_delivered(0, offset))

    def poll(self, seconds: float = 0.0) -> None:
        self.polled_seconds += seconds

    def flush(self, limit_seconds: float = 30.0) -> Deliveries:
        for confirm in self._pending:
            confirm()
        self._pending.clear()
        self.flushed = True
        return self.deliveries
