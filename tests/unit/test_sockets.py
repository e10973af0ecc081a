"""The sockets of this process, while other threads open and close files."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.server import sockets
from entrypoints.server.shutdown import GracefulShutdown


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_number_that_a_file_gets_before_it_is_duplicated(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, other, dup = listener.getsockname()[1], socket.socket(), os.dup
    duplicates = []

    def reused(descriptor: int) -> int:
        if descriptor != other.fileno():
            return dup(descriptor)
        file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
        os.dup2(file, descriptor)
        os.close(file)
        duplicates.append(dup(descriptor))
        return duplicates[-1]

    monkeypatch.setattr(os, "dup", reused)
    try:
        assert sockets.is_served(port)
        assert sockets.traffic(port).waiting == 0
        sockets.cut_all(port)
        [duplicate] = duplicates
        os.fstat(duplicate)  # not closed, because that would drop the locks on the file
    finally:
        monkeypatch.undo()
        other.close()
        for duplicate in duplicates:
            os.close(duplicate)


async def test_a_stop_goes_on_if_connections_cannot_be_seen(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, all_cut = asyncio.Event(), asyncio.Event()

    def fails(_: int) -> sockets.Traffic:
        raise OSError("Too many open files")

    monkeypatch.setattr(sockets, "traffic", fails)
    monkeypatch.setattr(sockets, "cut_all", lambda _: all_cut.set())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    try:
        steps = asyncio.create_task(GracefulShutdown(timeout=0)._stop(listener.getsockname()[1]))
        await steps
        await asyncio.wait_for(stopped.wait(), 10)
        assert all_cut.is_set()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
