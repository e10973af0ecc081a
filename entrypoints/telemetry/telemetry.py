"""Metrics and traces, depending on the settings. Imports only the modules that they need."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from application.ports.observer import UNOBSERVED, Observer, Operation
from entrypoints.background import every, in_background
from entrypoints.config.settings import Settings
from entrypoints.telemetry.logs import REQUEST_LINES
from entrypoints.telemetry.prometheus import workers

if TYPE_CHECKING:
    from entrypoints.telemetry.prometheus.metrics import Metrics
    from entrypoints.telemetry.tracing import Tracing

PUBLISHED_EVERY = 1.0  # seconds, where several workers add up their metrics


class Telemetry:
    """Metrics and traces. `observer` is for the container. Enter `running` while the server runs."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = _metrics() if settings.metrics else None
        self.tracing = _tracing(settings.otel_exporter_otlp_endpoint) if settings.otel_exporter_otlp_endpoint else None
        observers = [each for each in (self.metrics, self.tracing) if each is not None]
        self.observer: Observer = _All(observers) if len(observers) > 1 else next(iter(observers), UNOBSERVED)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(REQUEST_LINES.write)
            if self.tracing is not None:
                stack.push_async_callback(self.tracing.stop)
            if self.metrics is not None and workers.folder() is not None:
                work = every(PUBLISHED_EVERY, partial(_publish, self.metrics), "metrics can't be published")
                stack.callback(self.metrics.publish)
                await stack.enter_async_context(in_background(work))
            yield


def _metrics() -> "Metrics":
    from entrypoints.telemetry.prometheus.metrics import Metrics

    return Metrics()


def _tracing(endpoint: str) -> "Tracing":
    from entrypoints.telemetry.tracing import Tracing

    return Tracing(endpoint)


async def _publish(metrics: "Metrics") -> None:
    metrics.publish()


class _All(Observer):
    def __init__(self, observers: Sequence[Observer]) -> None:
        self._watchers = observers

    def ended(self, operation: Operation) -> None:
        for each in self._watchers:
            each.ended(operation)

    def retried(self, backend: str, operation: str) -> None:
        for each in self._watchers:
            each.retried(backend, operation)

    def streams(self, backend: str, change: int) -> None:
        for each in self._watchers:
            each.streams(backend, change)

    def connections(self, backend: str, change: int) -> None:
        for each in self._watchers:
            each.connections(backend, change)

    def reaped(self, backend: str, deleted: int, faults: int) -> None:
        for each in self._watchers:
            each.reaped(backend, deleted, faults)

    def withheld(self, backend: str) -> None:
        for each in self._watchers:
            each.withheld(backend)
