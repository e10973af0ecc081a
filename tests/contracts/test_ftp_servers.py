"""The life of a blob on FTP servers of many makes, each with oddities of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioftp
import pytest

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.store import FtpBlobStore
from tests.backends.ftp import FtpServer, free_ports
from tests.contracts.test_ftp import config_of
from tests.contracts.test_ftp_oddities import live
from tests.faults.databases import DEADLINE

RCLONE = Path(sys.executable).with_name("rclone")
USER, PASSWORD = "somebody", "secret"


async def test_aioftp(tmp_path: Path) -> None:
    """It knows neither SIZE, MDTM nor NLST, and says 200 where others say 226."""
    server = aioftp.Server([aioftp.User(USER, PASSWORD, base_path=tmp_path)])
    await server.start("127.0.0.1")
    try:
        async with FtpBlobStore(FtpConfig("127.0.0.1", USER, PASSWORD, server.server_port, tls="none")) as store:
            await live(store)
    finally:
        await server.close()


async def test_rclone(tmp_path: Path) -> None:
    """It says 450 to SIZE and 551 to RETR where nothing is, and makes folders that are there."""
    async with rclone(tmp_path) as config, FtpBlobStore(config) as store:
        await live(store)


@pytest.mark.docker
@pytest.mark.parametrize("tls", ["explicit", "none"])
async def test_pure_ftpd(start_ftp: Callable[..., FtpServer], tls: Any) -> None:
    """Without TLS it is compatible with old clients: it knows no EPSV."""
    server = await asyncio.to_thread(start_ftp, "pureftpd", tls=tls)
    async with FtpBlobStore(config_of(server, tls=tls)) as store:
        await live(store)


@asynccontextmanager
async def rclone(folder: Path) -> AsyncIterator[FtpConfig]:
    """`rclone serve ftp` for a folder."""
    first, *others = free_ports(16)
    server = await asyncio.create_subprocess_exec(
        *(RCLONE, "serve", "ftp", folder, "--config", "/dev/null", "--addr", f"127.0.0.1:{first}"),
        *("--user", USER, "--pass", PASSWORD, "--passive-port", f"{others[0]}-{others[-1]}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            while not await listens(first):
                assert server.returncode is None, "rclone has ended"
                await asyncio.sleep(0.02)  # it says that it serves before it does
        yield FtpConfig("127.0.0.1", USER, PASSWORD, first, tls="none")
    finally:
        server.kill()
        await server.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.transport.abort()
    return True
