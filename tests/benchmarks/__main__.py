"""`make bench`: measure all parts or the named ones; print a line for each figure, and fail if a bound was not kept."""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import uvloop

from tests.backends.containers import docker_answers
from tests.backends.run import a_run
from tests.benchmarks import (
    access,
    crowds,
    fetching,
    forms,
    image,
    large,
    listing,
    many_rows,
    memory,
    moves,
    page,
    profiling,
    publish,
    results,
    s3,
    segments,
    serving,
    speed,
    storages,
    trees,
    tus,
)
from tests.benchmarks.figures import Figures
from tests.benchmarks.peers import measure as peers
from tests.benchmarks.storages import Storage
from tests.browser.conftest import CHROMIUM

Part = Callable[[Figures], None]


def main() -> None:
    """Measure the parts, and write the figures that have a reference."""
    options = _parse(sys.argv[1:])
    names = options.parts or [*PARTS, "peers"]
    parts: dict[str, Part] = {**PARTS, "peers": partial(_peers, against=options.against), "profile": _profile}
    if options.quick:
        parts |= {"s3": partial(_s3, amounts=s3.QUICK), "tus": partial(_tus, amounts=tus.QUICK)}
    if unknown := set(names) - set(parts):
        sys.exit(f"The parts are {', '.join(parts)}; there is no {', '.join(sorted(unknown))}.")
    load = os.getloadavg()[0]
    figures = Figures()
    for name in names:
        parts[name](figures)
    if figures.recorded and not options.quick:
        arguments = shlex.join(each for each in sys.argv[1:] if each != "--publish")
        command = f'make bench ARGS="{arguments}"' if arguments else "make bench"
        results.write(results.describe(command, load, figures.recorded), results.LATEST)
        if options.publish:
            publish.publish()
    if figures.broken:
        sys.exit(f"{figures.broken} bounds were not kept.")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, if none is named")
    parser.add_argument("--against", metavar="REVISION", help="measure an old revision of Drivebay among the peers")
    parser.add_argument(
        "--quick", action="store_true", help="s3 and tus with little data, to see that it works; no results"
    )
    parser.add_argument("--publish", action="store_true", help="write the results into the README, with their chart")
    return parser.parse_args(arguments)


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


def _page(figures: Figures) -> None:
    if not Path(CHROMIUM).exists():
        print(f"There is no Chromium at {CHROMIUM}: the page is left out.")
        return
    _in_a_folder(page.measure)(figures)


def _peers(figures: Figures, against: str | None) -> None:
    if _has_docker():
        with _on_disk() as folder:
            peers.measure(Path(folder), figures, against)


def _rows(figures: Figures) -> None:
    if _has_docker():
        with _on_disk() as folder, a_run() as backends:
            many_rows.measure(Path(folder), backends, figures)


def _moves(figures: Figures) -> None:
    if _has_docker():
        with _on_disk() as folder, a_run() as backends:
            moves.measure(Path(folder), backends, figures)


def _s3(figures: Figures, amounts: s3.Amounts = s3.USUAL) -> None:
    with _on_disk() as folder:
        s3.measure(Path(folder), figures, amounts)


def _tus(figures: Figures, amounts: tus.Amounts = tus.USUAL) -> None:
    with _on_disk() as folder:
        tus.measure(Path(folder), figures, amounts)


def _profile(_: Figures) -> None:
    """Not among the parts that run by default: it needs the right to trace, and has no reference."""
    if _has_docker():
        with _on_disk() as folder:
            profiling.measure(Path(folder))


def _on_disk() -> tempfile.TemporaryDirectory[str]:
    """Not in TMPDIR's usual place, which may be memory, where a flush costs nothing."""
    return tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp"))  # noqa: S108 - ours inside


def _has_docker() -> bool:
    available = docker_answers()
    if not available:
        print("No Docker engine responds (docker info): parts in containers are left out, nginx, rclone and wrk too.")
    return available


PARTS: dict[str, Part] = {
    "fetching": _in_a_folder(fetching.measure),
    "serving": _in_a_folder(serving.measure),
    "access": _in_a_folder(access.measure),
    "crowds": _in_a_folder(crowds.measure),
    "listing": _in_a_folder(listing.measure),
    "forms": forms.measure,
    "segments": _in_a_folder(segments.measure),
    "trees": _in_a_folder(trees.measure),
    "stores": _stores,
    "large": _large,
    "image": _image,
    "page": _page,
    "rows": _rows,
    "moves": _moves,
    "s3": _s3,
    "tus": _tus,
}

if __name__ == "__main__":
    main()
