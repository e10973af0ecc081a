"""`make bench`: run all, and print a line for each figure."""

import asyncio
import tempfile
from pathlib import Path

from tests.benchmarks import fetching, json_form, serving


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(fetching.measure(Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(serving.measure(Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        json_form.measure(Path(folder))


if __name__ == "__main__":
    main()
