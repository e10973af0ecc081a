"""`make bench`: run all, print a line for each figure, and fail if a bound was not kept."""

import sys
import tempfile
from pathlib import Path

import uvloop

from tests.backends.containers import docker_answers
from tests.backends.run import a_run
from tests.benchmarks import crowds, fetching, json_form, listing, memory, serving, speed, storages
from tests.benchmarks.figures import Figures
from tests.benchmarks.storages import Storage


def main() -> None:
    figures = Figures()
    for measure in (fetching.measure, serving.measure):
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(measure(Path(folder), figures))
    for measure_here in (json_form.measure, crowds.measure, listing.measure):
        with tempfile.TemporaryDirectory() as folder:
            measure_here(Path(folder), figures)
    with tempfile.TemporaryDirectory() as folder:
        for storage in storages.local(Path(folder)):
            _measure(storage, figures)
    if docker_answers():
        with a_run() as backends, tempfile.TemporaryDirectory() as folder:
            for storage in storages.in_containers(backends, Path(folder)):
                _measure(storage, figures)
    else:
        print("There is no Docker engine that answers (docker info): the storages in containers are left out.")
    if figures.broken:
        sys.exit(f"{figures.broken} bounds were not kept.")


def _measure(storage: Storage, figures: Figures) -> None:
    uvloop.run(speed.measure(storage, figures))
    if storage.stream:
        memory.measure(storage, figures)


if __name__ == "__main__":
    main()
