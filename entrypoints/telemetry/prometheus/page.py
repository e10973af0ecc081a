"""The page at /metrics: the metrics of all workers, and values measured for each page."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from application.ports.metadata import Backlog, BacklogReader
from domain.errors import BlobError
from entrypoints import __version__
from entrypoints.shared_result import SharedResult
from entrypoints.telemetry.disks import Disk, Disks
from entrypoints.telemetry.prometheus import workers
from entrypoints.telemetry.prometheus.metrics import CPU, Metrics
from entrypoints.telemetry.prometheus.summary import summary
from entrypoints.telemetry.prometheus.totals import Summary

LOG = structlog.get_logger()
FRESH = 1.0  # seconds for which a page is reused: requests for it need no token
BACKLOG_FRESH = 15.0  # seconds: the backlog is expensive to count
BACKLOG_WITHIN = 2.0  # seconds that a page waits for the database


class MetricsPage:
    """The page, rendered at most once in `FRESH` seconds. It has the numbers of the `disks`."""

    def __init__(self, metrics: Metrics, backlog: BacklogReader, disks: Disks) -> None:
        self._metrics = metrics
        self._read_backlog = backlog
        self._backlog = SharedResult(self._count, BACKLOG_FRESH)
        self._disks = disks
        self._page = SharedResult(self._make, FRESH)

    async def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return await self._page.get()

    async def summary(self) -> "Summary":
        """Return the main numbers of the page."""
        self._metrics.publish()
        return await asyncio.to_thread(self._sum_up)

    def _sum_up(self) -> "Summary":
        registry, pids = self._registry()
        return summary([*registry.collect(), *_processes(pids)])

    async def _make(self) -> bytes:
        self._metrics.publish()
        backlog, disks = await asyncio.gather(self._latest_backlog(), self._disks.measured())
        return await asyncio.to_thread(self._render, backlog, disks)

    async def _latest_backlog(self) -> Sequence[Backlog]:
        """Return a recent backlog. It is empty if the database is unavailable or slow."""
        try:
            async with asyncio.timeout(BACKLOG_WITHIN):
                return await self._backlog.get()
        except TimeoutError:
            return []

    async def _count(self) -> Sequence[Backlog]:
        try:
            return await self._read_backlog()
        except BlobError as error:
            LOG.warning("the backlog can't be counted", fault=str(error))
            return []

    def _registry(self) -> tuple[CollectorRegistry, Sequence[int]]:
        """Return the metrics of all workers, and their process ids."""
        folder = workers.folder()
        if folder is None:
            return self._metrics.registry, [os.getpid()]
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        return registry, workers.living(folder)

    def _render(self, backlog: Sequence[Backlog], disks: Sequence[Disk]) -> bytes:
        registry, pids = self._registry()
        now = CollectorRegistry()
        now.register(_Measured([*_backlogs(backlog), *_disks(disks), *_processes(pids), _build()]))
        return generate_latest(registry) + generate_latest(now)


class _Measured(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _gauge(name: str, help_: str, values: Mapping[str, float], label: str) -> Metric:
    family = GaugeMetricFamily(f"drivebay_{name}", help_, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family


def _backlogs(backlog: Sequence[Backlog]) -> Iterator[Metric]:
    help_texts = {
        "uploads": "Uploads in progress, or abandoned by writers that died.",
        "garbage": "Objects that are to be deleted.",
        "due": "Objects that are to be deleted now.",
    }
    for name, help_ in help_texts.items():
        yield _gauge(f"backlog_{name}", help_, {each.backend: getattr(each, name) for each in backlog}, "backend")
    overdue = {each.backend: each.overdue.total_seconds() for each in backlog}
    yield _gauge(
        "backlog_overdue_seconds", "Seconds since the oldest object to be deleted was due.", overdue, "backend"
    )


def _disks(disks: Sequence[Disk]) -> Iterator[Metric]:
    free = {disk.name: disk.free_bytes for disk in disks}
    size = {disk.name: disk.size_bytes for disk in disks}
    yield _gauge("disk_free_bytes", "Free bytes on the disk of the folder.", free, "folder")
    yield _gauge("disk_size_bytes", "Size in bytes of the disk of the folder.", size, "folder")


def _processes(pids: Sequence[int]) -> Iterator[Metric]:
    """Statistics of the worker processes, summed up. The start time is the latest one.

    Several workers count their processor time themselves: the sum of the living would fall when one dies.
    """
    totals: dict[str, Metric] = {}
    counted = {CPU} if workers.folder() is not None else set()
    for pid in pids:
        for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            if family.name in counted:
                continue
            total = totals.setdefault(family.name, family)
            if total is not family:
                [first], [other] = total.samples, family.samples
                joined = max if family.name == "process_start_time_seconds" else sum
                total.samples = [first._replace(value=joined((first.value, other.value)))]
    yield from totals.values()
    yield GaugeMetricFamily("drivebay_workers", "Worker processes.", value=len(pids))


def _build() -> Metric:
    family = GaugeMetricFamily(
        "drivebay_build_info", "The version of Drivebay and of Python.", labels=["version", "python"]
    )
    family.add_metric([__version__, sys.version.partition(" ")[0]], 1)
    return family
