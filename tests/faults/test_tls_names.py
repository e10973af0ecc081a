"""Servers with a certificate that is trusted, but for another name: they may be anybody, and learn no password."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.storage.ftp.config import FtpConfig, Tls
from adapters.storage.ftp.store import FtpBlobStore
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.store import S3BlobStore
from domain.errors import BlobError, Kind
from tests.faults.fake_s3 import FakeS3
from tests.http import certificates
from tests.http.certificates import ADDRESS

HOSTS = [ADDRESS, "localhost"]
NAMES = pytest.mark.parametrize(
    ("places", "is_its_own"), [(["localhost", ADDRESS], True), (["other.test"], False)], ids=["own", "other"]
)


class FtpLogin:
    """An FTP server that lets nobody in. `asked`: the commands that it got."""

    def __init__(self, certificate: Path, key: Path, tls: Tls) -> None:
        self.asked: list[str] = []
        self._context = _context(certificate, key)
        self._tls = tls

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Its port."""
        context = self._context if self._tls == "implicit" else None
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context) as server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 Hello\r\n")
            while command := (await reader.readline()).decode().split():
                self.asked.append(command[0])
                writer.write(b"234 Go on\r\n" if command[0] == "AUTH" else b"530 No\r\n")
                await writer.drain()
                if command[0] == "AUTH":
                    await writer.start_tls(self._context)
        except (OSError, ssl.SSLError):
            pass  # the client does not like the certificate
        finally:
            writer.transport.abort()


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@NAMES
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
async def test_ftp(tmp_path: Path, tls: Tls, places: Sequence[str], is_its_own: bool) -> None:
    certificate, key = certificates.make(tmp_path, places=places)
    for host in HOSTS:
        server = FtpLogin(certificate, key, tls)
        async with server.serving() as port:
            config = FtpConfig(host, "somebody", "secret", port, tls=tls, ca_file=certificate)
            async with FtpBlobStore(config) as store:
                with pytest.raises(BlobError, match="530 No" if is_its_own else "certificate is not good") as caught:
                    await store.check()
        assert caught.value.kind is Kind.UNAVAILABLE
        assert ("USER" in server.asked) is is_its_own


@NAMES
async def test_s3(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: Sequence[str],
    is_its_own: bool,
) -> None:
    certificate, key = certificates.make(tmp_path, places=places)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    async with FakeS3({}, tls=_context(certificate, key)) as server:
        for host in HOSTS:
            endpoint = server.url.replace("127.0.0.1", host)
            async with S3BlobStore(S3Config("b", "r", "a", "s", endpoint, path_style=True, attempts=1)) as store:
                if is_its_own:
                    await store.check()
                else:
                    with pytest.raises(BlobError, match="certificate") as caught:
                        await store.check()
                    assert caught.value.kind is Kind.UNAVAILABLE
        assert bool(server.operations) is is_its_own
