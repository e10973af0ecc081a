"""Metrics. Clients can't choose the values of labels."""

import time
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from application.ports.observer import Observer, Operation
from entrypoints.telemetry.prometheus import reserved_files, workers
from entrypoints.telemetry.requests import Requests

LOG = structlog.get_logger()
M = TypeVar("M", bound=MetricWrapperBase)
L = TypeVar("L", bound=tuple[Any, ...])

CPU = "process_cpu_seconds"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
reserved_files.use()


class _Children(dict[tuple[str, ...], M], Generic[M]):
    """A cache of a metric's children by label values, three times as fast as `labels`.

    With several workers, children are files. If the disk is full, a new child is not counted.
    """

    has_warned = False

    def __init__(self, make: Callable[..., M]) -> None:
        self._make = make

    def __missing__(self, values: tuple[str, ...]) -> M:
        try:
            child = self[values] = self._make(*values)
        except OSError as error:
            self._warn(error)
            not_counted: M = NOT_COUNTED
            return not_counted
        return child

    @staticmethod
    def _warn(error: OSError) -> None:
        if not _Children.has_warned:
            _Children.has_warned = True
            LOG.warning("metrics are not counted because TMPDIR has no free space", fault=str(error))


class _NotCounted:
    _buckets = ()

    def inc(self, amount: float = 1) -> None:
        pass

    set = inc

    @property
    def _sum(self) -> "_NotCounted":
        return self


NOT_COUNTED: Any = _NotCounted()


class _Counts:
    """A counter by label values. It counts in plain numbers until `publish`: the library takes a lock for each."""

    def __init__(self, children: _Children[Counter]) -> None:
        self._children = children
        self._unpublished: Counts[tuple[str, ...]] = Counts()

    def add(self, labels: tuple[str, ...], amount: int = 1) -> None:
        self._unpublished[labels] += amount

    def publish(self) -> None:
        unpublished, self._unpublished = self._unpublished, Counts()
        for labels, amount in unpublished.items():
            self._children[labels].inc(amount)


class _Tally:
    """Durations by the first bucket that includes them, their sum, and the bytes of bodies."""

    __slots__ = ("buckets", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.received = 0
        self.sent = 0


class _Tallies(dict[L, _Tally], Generic[L]):
    """Tallies by label values: all that happens is counted here first, once."""

    def __missing__(self, labels: L) -> _Tally:
        tally = self[labels] = _Tally()
        return tally


class _Durations:
    """A histogram of seconds by label values."""

    def __init__(self, children: _Children[Histogram]) -> None:
        self._children = children

    def publish(self, labels: tuple[str, ...], tally: _Tally) -> None:
        child: Any = self._children[labels]
        child._sum.inc(tally.seconds)
        for bucket, count in zip(child._buckets, tally.buckets, strict=False):
            bucket.inc(count)


class Metrics(Observer, Requests):
    """The metrics of this process. With several workers, prometheus_client keeps them in files, to add them up.

    Everything is counted here, and exported by `publish`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._in_flight = 0
        # By method, route and status; and by backend, operation, fault and outcome.
        self._answered: _Tallies[tuple[str, str, int]] = _Tallies()
        self._ended: _Tallies[tuple[str, str, str, str]] = _Tallies()
        self._counters: list[_Counts] = []
        self._streams: Counts[str] = Counts()
        self._connections: Counts[str] = Counts()
        http, of = ["method", "route"], ["backend", "operation"]
        self._requests = self._counter("http_requests", "Requests that were completed or aborted.", *http, "status")
        self._durations = self._histogram(
            "http_request_duration_seconds", "Seconds from the request head to the last byte of the response.", *http
        )
        self._bytes_in = self._counter("http_request_bytes", "Bytes of request bodies received.", *http)
        self._bytes_out = self._counter("http_response_bytes", "Bytes of response bodies sent.", *http)
        self._refused = self._counter(
            "http_authentication_failures", "Requests without valid credentials.", "method", "route"
        )
        self._operations = self._histogram(
            "backend_operation_duration_seconds",
            "Seconds that backend operations took, without waiting for clients.",
            *of,
        )
        self._errors = self._counter("backend_errors", "Backend operations that failed.", *of, "kind")
        self._retries = self._counter("backend_retries", "Retries of backend operations.", *of)
        self._transactions = self._counter("transactions", "Transactions by outcome.", "backend", "outcome")
        self._deleted = self._counter("reaper_deleted", "Objects that the reaper deleted.", "backend")
        self._kept = self._counter("reaper_faults", "Objects that the reaper could not delete.", "backend")
        self._withheld = self._counter(
            "reaper_withheld",
            "Runs of the reaper that deleted nothing because the storage belongs to another database.",
            "backend",
        )
        self._now_in_flight = self._gauge("http_requests_in_flight", "Requests in progress.")
        self._now_streams = self._gauge("backend_streams", "Objects that are being written or read.", "backend")
        self._now_connections = self._gauge("backend_connections", "Connections in use.", "backend")
        self._cpu_seconds = 0.0  # that are published
        self._cpu = _Children(self._cpu_counter) if workers.folder() is not None else None
        self.publish()

    def _cpu_counter(self) -> Counter:
        """Return the processor time of this process, which still counts when it is dead. Its name is the usual one."""
        return Counter(CPU, "Seconds of processor time of all workers, dead ones too.", registry=self.registry)

    def _counter(self, name: str, help_: str, *labels: str) -> _Counts:
        metric = Counter(name, help_, labels, namespace="drivebay", registry=self.registry)
        self._counters.append(_Counts(_Children(metric.labels)))
        return self._counters[-1]

    def _histogram(self, name: str, help_: str, *labels: str) -> _Durations:
        metric = Histogram(name, help_, labels, namespace="drivebay", registry=self.registry, buckets=SECONDS)
        return _Durations(_Children(metric.labels))

    def _gauge(self, name: str, help_: str, *labels: str) -> _Children[Gauge]:
        make = partial(
            Gauge, name, help_, labels, namespace="drivebay", registry=self.registry, multiprocess_mode="livesum"
        )
        return _Children(make().labels if labels else make)

    def began(self) -> None:
        self._in_flight += 1

    def answered(self, method: str, route: str, status: int, seconds: float, received: int, sent: int) -> None:
        self._in_flight -= 1
        tally = self._answered[method, route, status]
        tally.buckets[bisect_left(SECONDS, seconds)] += 1
        tally.seconds += seconds
        tally.received += received
        tally.sent += sent

    def refused(self, method: str, route: str) -> None:
        self._refused.add((method, route))

    def ended(self, operation: Operation) -> None:
        backend, name, _, seconds, fault, outcome = operation
        tally = self._ended[backend, name, fault, outcome]
        tally.buckets[bisect_left(SECONDS, seconds)] += 1
        tally.seconds += max(seconds, 0)

    def retried(self, backend: str, operation: str) -> None:
        self._retries.add((backend, operation))

    def streams(self, backend: str, change: int) -> None:
        self._streams[backend] += change

    def connections(self, backend: str, change: int) -> None:
        self._connections[backend] += change

    def reaped(self, backend: str, deleted: int, faults: int) -> None:
        self._deleted.add((backend,), deleted)
        self._kept.add((backend,), faults)

    def withheld(self, backend: str) -> None:
        self._withheld.add((backend,))

    def publish(self) -> None:
        """Export the current values."""
        self._publish_answered()
        self._publish_ended()
        for each in self._counters:
            each.publish()
        self._now_in_flight[()].set(self._in_flight)
        for backend, count in self._streams.items():
            self._now_streams[backend,].set(count)
        for backend, count in self._connections.items():
            self._now_connections[backend,].set(count)
        if self._cpu is not None:
            used = time.process_time()
            self._cpu[()].inc(used - self._cpu_seconds)
            self._cpu_seconds = used

    def _publish_answered(self) -> None:
        answered, self._answered = self._answered, _Tallies()
        for (method, route, status), tally in answered.items():
            self._requests.add((method, route, str(status)), sum(tally.buckets))
            self._durations.publish((method, route), tally)
            if tally.received:
                self._bytes_in.add((method, route), tally.received)
            if tally.sent:
                self._bytes_out.add((method, route), tally.sent)

    def _publish_ended(self) -> None:
        ended, self._ended = self._ended, _Tallies()
        for (backend, name, fault, outcome), tally in ended.items():
            self._operations.publish((backend, name), tally)
            if fault:
                self._errors.add((backend, name, fault), sum(tally.buckets))
            if outcome:
                self._transactions.add((backend, outcome), sum(tally.buckets))
