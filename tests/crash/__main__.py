"""All backends in turn, or one: a crash at each point, then at random under load."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.backends.run import Backends, a_run
from tests.crash.load import Load, Outcome
from tests.crash.resumable_load import ResumableLoad, ResumableOutcome
from tests.crash.scenarios import Scenarios
from tests.crash.service import Service
from tests.crash.suite import BACKENDS, Backend, plan, run

BRIEF = 10  # seconds
STEP = 20  # points between two lines about how far it has come
COLUMNS = {"points": 8, "kills": 8, "acknowledged": 14, "read": 8, "lost": 6, "torn": 6, "left over": 11, "seconds": 9}


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    asked.add_argument("--backend", choices=BACKENDS, help="this one, in place of all")
    asked.add_argument("--kills", type=int, default=100, help="how many at random on each backend")
    asked.add_argument("--points", action=argparse.BooleanOptionalAction, default=True, help="a crash at each point")
    asked.add_argument("--skip", type=int, default=0, help="so many points first, which an interrupted run has done")
    asked.add_argument("--seed", type=int, default=time.time_ns(), help="of what is random")
    given = asked.parse_args()
    print(f"seed {given.seed}")
    _print("", *COLUMNS)
    wrong: list[str] = []
    with a_run() as backends:
        for name in [given.backend] if given.backend else BACKENDS:
            wrong += _on(name, backends, given)
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def _on(name: str, backends: Backends, given: argparse.Namespace) -> list[str]:
    """Return what is wrong on one backend, and print a line about it."""
    backend, began, ran, wrong = BACKENDS[name], time.monotonic(), 0, list[str]()
    if given.points:
        with _folder() as folder, backend.settings(backends) as settings:
            ran, wrong = asyncio.run(_at_each_point(folder, settings, backend, given.skip))
    with _folder() as folder, backend.settings(backends) as settings:
        outcome = asyncio.run(_at_random(folder, settings, backend, given))
    with _folder() as folder, backend.settings(backends) as settings:
        resumed = asyncio.run(_at_random_under_uploads(folder, settings, backend, given))
    outcome.kills += resumed.kills
    outcome.acknowledged += resumed.blobs
    outcome.wrong += wrong + resumed.wrong
    lost, torn = outcome.count("lost"), outcome.count("torn")
    rest = len(outcome.wrong) - lost - torn
    seconds = round(time.monotonic() - began)
    _print(name, ran, outcome.kills, outcome.acknowledged, outcome.read, lost, torn, rest, seconds)
    return [f"{name}: {each}" for each in outcome.wrong]


def _print(name: str, *figures: object) -> None:
    cells = (f"{figure:>{width}}" for figure, width in zip(figures, COLUMNS.values(), strict=True))
    print(f"{name:12}{''.join(cells)}", flush=True)


async def _at_each_point(folder: Path, settings: dict[str, str], backend: Backend, skip: int) -> tuple[int, list[str]]:
    wrong = []
    async with Service(folder, settings) as service:
        planned = await plan(Scenarios(service), backend)
        for first in range(skip, len(planned), STEP):
            found = await run(planned[first : first + STEP])
            print(
                f"{min(first + STEP, len(planned))} of {len(planned)} points",
                *found,
                sep="\n",
                file=sys.stderr,
                flush=True,
            )
            wrong += found
            await service.inspection.clear()  # to look at thousands of blobs after each point takes long
        return len(planned[skip:]), wrong


async def _at_random(folder: Path, settings: dict[str, str], backend: Backend, given: argparse.Namespace) -> Outcome:
    async with Service(folder, settings, BRIEF) as service:
        return await Load(service, backend.large, given.seed).run(given.kills)


async def _at_random_under_uploads(
    folder: Path, settings: dict[str, str], backend: Backend, given: argparse.Namespace
) -> ResumableOutcome:
    async with Service(folder, settings, BRIEF) as service:
        return await ResumableLoad(service, 2 * backend.large, given.seed).run(given.kills)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="drivebay-crash-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
