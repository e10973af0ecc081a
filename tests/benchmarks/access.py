"""The price of authentication: the check of a bearer token or a signed URL, as a part of a GET of 1 KiB."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.access.authenticate import Authenticate, KnownKeys
from application.access.failures import FailedAuthentications
from application.access.keys import Keys, NewKey
from application.access.master_key import MasterKey
from application.access.passwords import Passwords
from application.access.rates import RequestRates
from application.access.sessions import Sessions
from application.access.shares import Shares
from application.access.sign import Signatures
from application.access.upload_rights import UploadRights
from application.uploads.committer import Committer
from domain.access import EVERYTHING, Action
from domain.blob import BlobId, ObjectKey
from entrypoints.config.values import hashed
from entrypoints.http.middleware.routes.authentication import AuthenticationMiddleware
from entrypoints.http.protocol.urls.signed_urls import unsigned_url
from tests.benchmarks import serving
from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import get, post

CHECKS = 20_000
LIFETIME = timedelta(hours=1)
ROUNDS = 7
MOST = 0.05


async def measure(folder: Path, figures: Figures) -> None:
    """Print the time of each check as a ratio to the time that a worker takes for a GET, measured by turns."""
    checks = await _checks()
    with Server(folder) as drivebay:
        ids = count()
        await serving.rate(drivebay.port, lambda: post({"id": f"{next(ids)}", "data": serving.DATA}))
        times: dict[str, list[float]] = {name: [] for name in checks}
        gets = []
        for _ in range(ROUNDS):
            gets.append(1 / await serving.rate(drivebay.port, lambda: get("/v1/blobs/0")))
            for name, check in checks.items():
                times[name].append(await _time(check))
    for name, found in times.items():
        bound = MOST if "bearer" in name else None
        figures.at_most(
            f"{name}: {median(found) * 1e6:.1f} microseconds, of a GET of 1 KiB", median(found) / median(gets), bound
        )


async def _time(check: Callable[[], Awaitable[None]]) -> float:
    """Return the seconds of one check. Requests take turns with them in a server, so a task does not begin for each."""
    started = time.perf_counter()
    for _ in range(CHECKS):
        await check()
    await asyncio.sleep(0)
    return (time.perf_counter() - started) / CHECKS


async def _checks() -> dict[str, Callable[[], Awaitable[None]]]:
    metadata, master = MemoryMetadata(), MasterKey(b"m" * 32)
    known = KnownKeys(metadata.keys, master)
    keys = Keys(Committer(metadata, ObjectKey.random), metadata.keys, master)
    authenticate = Authenticate({hashed("token"): EVERYTHING}, known, master)
    signatures = Signatures(authenticate)
    shares = Shares(Committer(metadata, ObjectKey.random), metadata.shares, master, authenticate, Passwords())
    rights = UploadRights(signatures, shares, metadata.multipart)
    sessions = Sessions(authenticate, metadata.keys)
    parts = (authenticate, signatures, rights, sessions, RequestRates(), FailedAuthentications())
    middleware = AuthenticationMiddleware(lambda *_: None, *parts)  # type: ignore[arg-type]
    issued = await keys.create(EVERYTHING, NewKey("bench", frozenset({Action.READ}), ("films/",)))
    grant = issued.key.grant()
    blob_id = BlobId("films/a")
    signer = await signatures.signer(grant, Action.READ, blob_id, LIFETIME)
    unsigned = unsigned_url("GET", blob_id, {"alt": "media"}, signer.key_id, signer.expires_at)
    path, _, query = unsigned.signed(signer.sign(unsigned.message)).partition("?")

    def checking(headers: list[tuple[bytes, bytes]], query: str = "") -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            scope: Any = {
                "method": "GET",
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "headers": headers,
            }
            await middleware.enter(scope)

        return check

    return {
        "bearer token of the settings": checking([(b"authorization", b"Bearer token")]),
        "bearer token of a key": checking([(b"authorization", f"Bearer {issued.token}".encode())]),
        "signed URL": checking([], query),
    }
