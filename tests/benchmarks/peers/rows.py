"""The figures: what is measured in a round, and what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.figures import Figures
from tests.benchmarks.results import Figure

Round = dict[str, float]  # what was measured in a round, by name


@dataclass(frozen=True)
class Row:
    """`measured` and `compared` are names in a round; `reference` describes the latter. `bound`: the ratio required."""

    work: str
    unit: str
    measured: str
    reference: str
    compared: str
    goal: float | None = None
    at_most: bool = False
    bound: float | None = None


RATE, SPEED, TIME = "requests/s", "MiB/s", "ms"
EMPTY = "empty Litestar handler"
ROWS = [
    Row("GET of 1 KiB as JSON", RATE, "json", EMPTY, "empty", 0.6, bound=0.03),
    Row("GET of 1 KiB", RATE, "new get", EMPTY, "empty", 0.6, bound=0.03),
    Row("GET of 1 KiB as JSON at half that rate, p99", TIME, "json p99", "median", "json median", 3, at_most=True),
    Row("GET of 1 KiB at half that rate, p99", TIME, "new get p99", "median", "new get median", 3, at_most=True),
    Row("GET of 1 KiB", RATE, "new get", "rclone serve http", "rclone get of 1k", 2),
    Row("GET of 1 KiB", RATE, "new get", "nginx", "nginx get of 1k"),
    Row("GET of 64 KiB", RATE, "new get of 64k", "rclone serve http", "rclone get of 64k", 2),
    Row("GET of 64 KiB", RATE, "new get of 64k", "nginx", "nginx get of 64k"),
    Row("GET of 256 MiB", SPEED, "download", "nginx with sendfile", "nginx download", 1, bound=0.4),
    Row("GET of 256 MiB", SPEED, "download", "rclone serve http", "rclone download"),
    Row(
        "PUT of 256 MiB with SHA-256 and fsync",
        SPEED,
        "upload",
        "nginx DAV with neither",
        "nginx upload",
        0.9,
        bound=0.25,
    ),
    Row("PUT of 256 MiB with SHA-256 and fsync", SPEED, "upload", "rclone serve webdav", "webdav upload", bound=0.5),
    Row("Durable POST of 1 KiB", RATE, "new post", "bare flushes in one thread", "flushes"),
    Row("Durable POST of 1 KiB, one connection", RATE, "lone post", "its four flushes, bare", "flush sets", 0.8),
    Row("GET of 1 KiB, two workers", RATE, "workers get", "one worker", "new get", 1.7),
    Row("Durable POST of 1 KiB, two workers", RATE, "workers post", "one worker", "new post"),
    Row("GET of 1 KiB, SMALL_BLOBS=database", RATE, "small get", "without it", "new get"),
    Row("Durable POST of 1 KiB, SMALL_BLOBS=database", RATE, "small post", "without it", "new post"),
    Row("POST of 1 KiB, STORAGE=ftp, SMALL_BLOBS=database", RATE, "ftp small post", "without it", "ftp post", 10),
]


def of_old(revision: str) -> list[Row]:
    """Figures whose reference is Drivebay at an old revision."""
    old = f"Drivebay at {revision}"
    return [
        Row("GET of 1 KiB", RATE, "new get", old, "old get"),
        Row("Durable POST of 1 KiB", RATE, "new post", old, "old post", 12),
        Row("GET of 1 KiB on PostgreSQL", RATE, "postgresql get", old, "old postgresql get", 2.5),
        Row("Durable POST of 1 KiB on PostgreSQL", RATE, "postgresql post", old, "old postgresql post", 2),
    ]


def record(rows: Sequence[Row], rounds: Sequence[Round], figures: Figures) -> None:
    """Record the medians of the rounds."""
    for row in rows:
        values, others = ([each[name] for each in rounds] for name in (row.measured, row.compared))
        figure = Figure.of_rounds(row.work, row.unit, values, row.reference, others, row.goal, row.at_most)
        figures.record(figure, row.bound)
