"""What a worker does when its application has started."""

import gc

from entrypoints.cli import main
from entrypoints.config.settings import Settings
from entrypoints.server.heartbeat import Heartbeat
from tests.http.server import free_port


async def test_the_garbage_collection_leaves_out_what_the_start_has_made() -> None:
    gc.unfreeze()
    try:
        with main._serving(Settings(port=free_port()), Heartbeat()):
            assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
