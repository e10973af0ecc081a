"""The results of the last run, as the README shows them."""

from tests.benchmarks.chart import chart
from tests.benchmarks.results import FOLDER, LATEST, PUBLISHED, ROOT, read, write
from tests.benchmarks.table import inserted, table

README = ROOT / "README.md"
CHART = FOLDER / "bench.svg"


def publish() -> None:
    """Write `bench.json`, its chart, and the table in the README."""
    results = read(LATEST)
    write(results, PUBLISHED)
    CHART.write_text(chart(results))
    README.write_text(inserted(README.read_text(), table(results)))
