"""The main numbers of the metrics: sums over methods and routes, for small charts."""

import msgspec


class Requests(msgspec.Struct):
    """Requests since the start of the workers. Times are in seconds. `by_status`: by the class, as `2xx`."""

    in_flight: int = 0
    total: int = 0
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    authentication_failures: int = 0
    by_status: dict[str, int] = {}


class BackendUse(msgspec.Struct):
    """The use of a storage or a database since the start of the workers. `streams`: objects that move now."""

    name: str
    operations: int = 0
    seconds: float = 0.0
    errors: int = 0
    retries: int = 0
    streams: int = 0


class Process(msgspec.Struct):
    """The worker processes, summed up."""

    workers: int = 0
    cpu_seconds: float = 0.0
    resident_bytes: int = 0
    started_at: float = 0.0


class Summary(msgspec.Struct):
    """Numbers of a server, of all its workers."""

    requests: Requests
    backends: list[BackendUse]
    process: Process
