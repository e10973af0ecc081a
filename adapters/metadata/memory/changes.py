"""Uncommitted changes of dictionaries."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
Clock = Callable[[], datetime]


class Changes(Generic[K, V]):
    """A dictionary with uncommitted changes."""

    def __init__(self, committed: dict[K, V]) -> None:
        self._committed = committed
        self._changed: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        return self._changed[key] if key in self._changed else self._committed.get(key)

    def set(self, key: K, value: V | None) -> None:
        self._changed[key] = value

    def items(self) -> list[tuple[K, V]]:
        merged = {**self._committed, **self._changed}
        return [(key, value) for key, value in merged.items() if value is not None]

    def values(self) -> list[V]:
        return [value for _, value in self.items()]

    def apply(self) -> None:
        for key, value in self._changed.items():
            if value is None:
                self._committed.pop(key, None)
            else:
                self._committed[key] = value


def due(rows: list[tuple[V, datetime]], now: datetime, limit: int) -> list[V]:
    """Return the values of up to `limit` rows whose times have come, the oldest first."""
    found = sorted((row for row in rows if row[1] <= now), key=lambda row: row[1])
    return [value for value, _ in found[:limit]]
