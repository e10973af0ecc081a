"""`make bench`: all parts or those that are named; a line for each figure, and a failure if a bound was not kept."""

import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

from tests.backends.containers import docker_answers
from tests.backends.run import a_run
from tests.benchmarks import crowds, fetching, forms, image, large, listing, memory, serving, speed, storages
from tests.benchmarks.figures import Figures
from tests.benchmarks.storages import Storage


def main() -> None:
    """Run the parts that are the arguments."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.exit(f"The parts are {', '.join(PARTS)}; there is no {', '.join(sorted(unknown))}.")
    figures = Figures()
    for name in names:
        PARTS[name](figures)
    if figures.broken:
        sys.exit(f"{figures.broken} bounds were not kept.")


def _in_a_folder(measure: Callable[[Path, Figures], Coroutine[None, None, None] | None]) -> Callable[[Figures], None]:
    def measured(figures: Figures) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if (measuring := measure(Path(folder), figures)) is not None:
                uvloop.run(measuring)

    return measured


def _stores(figures: Figures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for storage in storages.local(Path(folder)):
            _measure(storage, figures)
        if _has_docker():
            with a_run() as backends:
                for storage in storages.in_containers(backends, Path(folder)):
                    _measure(storage, figures)


def _measure(storage: Storage, figures: Figures) -> None:
    uvloop.run(speed.measure(storage, figures))
    if storage.stream:
        memory.measure(storage, figures)


def _large(figures: Figures) -> None:
    docker = _has_docker()
    with a_run() as backends:
        for case in large.CASES:
            if docker or not case.combination.needs_docker:
                large.measure(case, backends, figures)


def _image(figures: Figures) -> None:
    if _has_docker():
        image.measure(figures)


def _has_docker() -> bool:
    answers = docker_answers()
    if not answers:
        print("There is no Docker engine that answers (docker info): what runs in containers is left out.")
    return answers


PARTS: dict[str, Callable[[Figures], None]] = {
    "fetching": _in_a_folder(fetching.measure),
    "serving": _in_a_folder(serving.measure),
    "crowds": _in_a_folder(crowds.measure),
    "listing": _in_a_folder(listing.measure),
    "forms": forms.measure,
    "stores": _stores,
    "large": _large,
    "image": _image,
}

if __name__ == "__main__":
    main()
