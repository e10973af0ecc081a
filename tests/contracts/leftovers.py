"""A check that a case leaves no tasks in the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

TURNS = 10  # of the event loop, for what is just closing


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """Require that the block leaves no pending task."""
    before = _others()
    yield
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert _others() <= before, "a task is still under way"


def _others() -> set["asyncio.Task[Any]"]:
    """Return all tasks except the current one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
