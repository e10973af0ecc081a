"""Reads the main numbers from the metrics of all workers."""

from collections.abc import Iterable

import msgspec
from prometheus_client.core import Metric

from entrypoints.telemetry.prometheus.totals import BackendUse, Process, Requests, Summary

_OF_REQUESTS = {
    "http_requests_in_flight": "in_flight",
    "http_request_duration_seconds_sum": "seconds",
    "http_request_bytes_total": "bytes_in",
    "http_response_bytes_total": "bytes_out",
    "http_authentication_failures_total": "authentication_failures",
}
_OF_BACKENDS = {
    "backend_operation_duration_seconds_count": "operations",
    "backend_operation_duration_seconds_sum": "seconds",
    "backend_errors_total": "errors",
    "backend_retries_total": "retries",
    "backend_streams": "streams",
}
_OF_PROCESSES = {
    "drivebay_workers": "workers",
    "process_cpu_seconds_total": "cpu_seconds",
    "process_resident_memory_bytes": "resident_bytes",
    "process_start_time_seconds": "started_at",
}


def summary(families: Iterable[Metric]) -> Summary:
    """Return the sums of some metrics."""
    requests, process = Requests(by_status={}), Process()
    backends = dict[str, BackendUse]()
    for family in families:
        for sample in family.samples:
            name, labels = sample.name.removeprefix("drivebay_"), sample.labels
            if name == "http_requests_total":
                requests.total += int(sample.value)
                status = f"{labels['status'][:1]}xx"
                requests.by_status[status] = requests.by_status.get(status, 0) + int(sample.value)
            elif name in _OF_REQUESTS:
                _add(requests, _OF_REQUESTS[name], sample.value)
            elif name in _OF_BACKENDS:
                backend = backends.setdefault(labels["backend"], BackendUse(labels["backend"]))
                _add(backend, _OF_BACKENDS[name], sample.value)
            elif sample.name in _OF_PROCESSES:
                _add(process, _OF_PROCESSES[sample.name], sample.value)
    return Summary(requests, [*backends.values()], process)


def _add(to: msgspec.Struct, name: str, value: float) -> None:
    before = getattr(to, name)
    setattr(to, name, type(before)(before + value))
