"""`drivebay` as a process that gets a signal, from itself, at a point of its work.

    python -m tests.verify.dying KILL write:before#2 export backup

The points are unknown to the product: functions of it, before or after a call, counted from 1.
"""

import inspect
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from adapters.trees import folder, folder_writer, links
from application.blobs.store import StoreBlob
from entrypoints.cli.main import main

POINTS: dict[str, tuple[type[Any], str]] = {
    "read": (folder._Reader, "read"),
    "publish": (StoreBlob, "_publish"),
    "link": (links.FolderLinks, "_link"),
    "write": (folder_writer.FileWriter, "write"),
    "finish": (folder_writer.FileWriter, "finish"),
}


def arm(number: signal.Signals, text: str) -> None:
    """Let the process get a signal at a point such as `write:before#2`."""
    name, _, rest = text.partition(":")
    when, _, count = rest.partition("#")
    owner, method = POINTS[name]
    setattr(owner, method, _counting(getattr(owner, method), when, int(count), number))


def _counting(function: Callable[..., Any], when: str, count: int, number: signal.Signals) -> Callable[..., Any]:
    left = iter(range(count - 1, -1, -1))

    def pass_by() -> None:
        if next(left, None) == 0:
            os.kill(os.getpid(), number)

    @wraps(function)
    async def awaited(*arguments: Any, **more: Any) -> Any:
        if when == "before":
            pass_by()
        result = await function(*arguments, **more)
        if when == "after":
            pass_by()
        return result

    @wraps(function)
    def called(*arguments: Any, **more: Any) -> Any:
        if when == "before":
            pass_by()
        result = function(*arguments, **more)
        if when == "after":
            pass_by()
        return result

    return awaited if inspect.iscoroutinefunction(function) else called


if __name__ == "__main__":
    arm(signal.Signals[f"SIG{sys.argv[1]}"], sys.argv[2])
    main(sys.argv[3:], prog_name="drivebay")
