"""Three replicas behind nginx, while 32 clients write and read and replicas go."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.containers import engine
from tests.compose.project import PATIENCE, ROOT, Project
from tests.compose.test_profiles import SECTION
from tests.crash.load import Ledger
from tests.crash.scenarios import content
from tests.http import certificates

CLIENTS = 32
IDS = [f"blobs/{number:02}" for number in range(48)]
SIZES = [0, 100, 1000, 10_000, 100_000, 300_000]
QUIET = 3.0  # seconds of load before and after
POLLS = 300

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * PATIENCE)]
[CLUSTER] = re.findall(r"^docker compose --profile cluster .*--build.*$", SECTION, re.MULTILINE)
# So that the test need not wait for what the reaper does after minutes.
ENV = "REAP_INTERVAL=1\nREADERS_GRACE=1\n"
TEMPORARY = "".join(f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


@pytest.fixture(scope="module")
def cluster(start_project: Callable[..., Project]) -> Project:
    project = start_project("cluster", env=ENV)
    project.run(CLUSTER)
    return project


@pytest.fixture(scope="module")
def token(cluster: Project) -> str:
    return cluster.run("docker compose exec app cat /data/token").strip()


def test_the_image_has_no_test_code(cluster: Project) -> None:
    find = "from importlib.util import find_spec; print(*filter(find_spec, ('tests', 'pytest', 'adapters')))"
    assert cluster.run(f'docker compose --profile cluster exec replica python3 -c "{find}"') == "adapters\n"


@dataclass
class Outcome:
    """What the clients got. `failed`: when, and what, for each request that got no answer or a 5xx."""

    acknowledged: int = 0
    read: int = 0
    failed: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def failed_since(self, began: float) -> list[str]:
        return [what for when, what in self.failed if when >= began]


class Load:
    """Clients that write and read a few blobs, and know what each may be."""

    def __init__(self, base_url: str, token: str) -> None:
        self.outcome = Outcome()
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ledger = Ledger()
        self._chance = random.Random(6)  # noqa: S311 - nothing is secret about it
        self._goes_on = True
        self._written = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with httpx.AsyncClient(
            base_url=self._base_url,
            headers=self._headers,
            limits=limits,
            timeout=PATIENCE / 4,
            verify=False,  # noqa: S501
        ) as self._client:
            clients = [asyncio.create_task(self._ask_on()) for _ in range(CLIENTS)]
            try:
                yield self
            finally:
                self._goes_on = False
                await asyncio.gather(*clients)
            for blob_id in IDS:
                await self._read(blob_id)

    async def _ask_on(self) -> None:
        while self._goes_on:
            blob_id = self._chance.choice(IDS)
            match self._chance.random():
                case luck if luck < 0.4:
                    await self._read(blob_id)
                case luck if luck < 0.5:
                    await self._change("DELETE", blob_id, None)
                case _:
                    self._written += 1
                    await self._change("PUT", blob_id, content(f"{self._written}", self._chance.choice(SIZES)))

    async def _change(self, method: str, blob_id: str, written: bytes | None) -> None:
        attempt = self._ledger.begin(blob_id, written)
        answer = await self._ask(method, blob_id, written)
        if answer is None:
            attempt.ended = time.monotonic() + PATIENCE  # it may take effect later
        elif answer.is_success:
            attempt.ended, attempt.acknowledged = time.monotonic(), True
            self.outcome.acknowledged += 1
        else:
            self._ledger.withdraw(blob_id, attempt)
            assert answer.status_code == httpx.codes.NOT_FOUND, answer.text

    async def _read(self, blob_id: str) -> None:
        began = time.monotonic()
        answer = await self._ask("GET", f"{blob_id}?alt=media")
        if answer is not None:
            assert answer.status_code in (200, 404), answer.text
            found = answer.content if answer.is_success else None
            self.outcome.wrong += self._ledger.judge(blob_id, found, began)
            self.outcome.read += 1

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> httpx.Response | None:
        try:
            answer = await self._client.request(method, f"/v1/blobs/{path}", content=content)
        except httpx.TransportError as fault:
            self.outcome.failed.append((time.monotonic(), f"{method} {path}: {fault!r}"))
            return None
        if answer.is_server_error:
            self.outcome.failed.append((time.monotonic(), f"{method} {path}: {answer.status_code} {answer.text}"))
            return None
        return answer


async def test_replicas_go_under_load_and_nothing_is_lost(cluster: Project, token: str) -> None:
    load = Load(f"http://127.0.0.1:{cluster.cluster_port}", token)
    with engine() as client:
        first, second, _ = cluster.containers(client, "replica")
        async with load.running():
            await asyncio.sleep(QUIET)
            assert not load.outcome.failed_since(0)
            await asyncio.to_thread(second.restart, timeout=60)
            await asyncio.to_thread(_until_healthy, second)
            of_the_restart = load.outcome.failed_since(0)
            await asyncio.to_thread(_begin_an_upload, first, token)
            await asyncio.sleep(QUIET)
            await asyncio.to_thread(first.kill)
            killed = time.monotonic()
            await asyncio.sleep(QUIET)
            later = time.monotonic()
            await asyncio.sleep(QUIET)
            of_the_killed = load.outcome.failed_since(killed)
            assert not load.outcome.failed_since(later), "others than those that it served have failed"
            first.start()
        assert not load.outcome.wrong
        assert load.outcome.acknowledged > CLIENTS
        assert load.outcome.read > CLIENTS
        assert not of_the_restart
        assert len(of_the_killed) <= CLIENTS  # each client had one request under way
    assert int(sql(cluster, "SELECT count(*) FROM uploads")) > 0, "the kill left nothing to reap"
    _let_leases_run_out(cluster)
    _wait_until_nothing_is_left(cluster)
    assert "Nothing is wrong" in cluster.run("docker compose exec replica drivebay verify --deep")


def _begin_an_upload(container: Any, token: str) -> None:
    """From inside, so that it is this replica that has it; its client sends half of it, and waits."""
    script = f"""
import os, socket, time
upload = socket.create_connection(("127.0.0.1", 8000))
upload.sendall(b"PUT /v1/blobs/half HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {token}\\r\\n")
upload.sendall(b"Content-Length: 200000\\r\\n\\r\\n" + bytes(100000))
if not os.fork():
    os.closerange(0, 3)
    time.sleep({PATIENCE})
"""
    assert container.exec_run(["python3", "-c", script]).exit_code == 0


def _until_healthy(container: Any) -> None:
    for _ in range(POLLS):
        container.reload()
        if container.attrs["State"]["Health"]["Status"] == "healthy":
            return
        time.sleep(0.2)
    pytest.fail(f"{container.name} is not healthy")


def sql(project: Project, statement: str) -> str:
    return project.run(
        "docker compose exec postgres sh -c 'PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE)"
        f' psql --host /tmp --username drivebay --no-align --tuples-only --command "{statement}"\''
    )


def _let_leases_run_out(project: Project) -> None:
    """As an hour would do that nobody waits for."""
    sql(project, "UPDATE uploads SET expires_at = expires_at - 3600 * 1000000::bigint")


def _wait_until_nothing_is_left(project: Project) -> None:
    """Of uploads and of what was replaced, but for objects that were deleted and will be once more, much later."""
    soon = "(extract(epoch FROM now()) + 1800) * 1000000"
    garbage = f"unused_objects WHERE due_at < {soon}"
    query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in ("uploads", garbage, "trash"))  # noqa: S608
    for _ in range(POLLS):
        if (left := sql(project, query).strip()) == "0|0|0":
            return
        time.sleep(0.5)
    pytest.fail(f"left, of uploads, garbage and trash: {left}")


IDS_AS_WRITTEN = [
    "a%2Fb",
    "a/b",
    "a//b",
    "a%2F%2Fb",
    "%252e",
    "a%2F..%2Fb",
    "%20a%20",
    "a%3Fb%23c",
    "%E2%98%BA",
    "a+b",
    "x/.",
]


@pytest.mark.parametrize("written", IDS_AS_WRITTEN)
def test_nginx_passes_an_id_on_as_it_is_written(cluster: Project, token: str, written: str) -> None:
    ids = []
    for port in (cluster.cluster_port, cluster.port):
        with httpx.Client(verify=False, headers={"Authorization": f"Bearer {token}"}) as client:  # noqa: S501
            extensions = {"target": f"/v1/blobs/{written}".encode()}
            answer = client.put(f"http://127.0.0.1:{port}/", content=b"1", extensions=extensions)
            ids.append(json.loads(answer.content)["id"])
    assert ids[0] == ids[1]


def test_nginx_passes_on_the_id_of_a_request(cluster: Project, token: str) -> None:
    url = f"http://127.0.0.1:{cluster.cluster_port}/v1/blobs"
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "of-the-test"}
    answer = httpx.get(url, headers=headers, verify=False)  # noqa: S501
    assert answer.headers["x-request-id"] == "of-the-test"
    assert re.fullmatch("[0-9a-f]{32}", httpx.get(url, verify=False).headers["x-request-id"])  # noqa: S501


def test_a_blob_streams_through_nginx(cluster: Project, token: str) -> None:
    url = f"http://127.0.0.1:{cluster.cluster_port}/v1/blobs/film"
    film = content("film", 64 << 20)
    with httpx.Client(verify=False, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as client:  # noqa: S501
        assert client.put(url, content=film).status_code == 201
        assert client.get(f"{url}?alt=media").content == film


def test_the_proxy_of_the_page_on_hardening(cluster: Project, token: str, tmp_path: Path) -> None:
    [block] = re.findall(r"```nginx\n(.*?)```", (ROOT / "entrypoints" / "HARDENING.md").read_text(), re.DOTALL)
    certificate, key = certificates.make(tmp_path)
    given = "ssl_certificate /tmp/server.pem; ssl_certificate_key /tmp/server.key;"
    block = re.sub(r"(?m)^( *server )10\S+;", r"\1replica:8000;", block)
    block = block.replace("# ssl_certificate, ssl_certificate_key", given).replace("/run/nginx/", "/tmp/page-")  # noqa: S108 - in the container
    proxy = tmp_path / "proxy.conf"
    proxy.write_text(
        f"pid /tmp/proxy.pid; error_log stderr; events {{}} http {{ access_log off; {TEMPORARY} {block} }}"
    )
    for path in (certificate, key, proxy):
        cluster.run(f"docker compose exec -T nginx sh -c 'cat > /tmp/{path.name}' < {path}")
    cluster.run("docker compose exec -T nginx nginx -c /tmp/proxy.conf")
    asked = f"""
import ssl, urllib.request
for body, query in ((b"proxied", ""), (None, "?alt=media")):
    request = urllib.request.Request("https://nginx/v1/blobs/a%2Fproxied" + query, body)
    request.add_header("Authorization", "Bearer {token}")
    request.method = "PUT" if body else "GET"
    print(urllib.request.urlopen(request, context=ssl._create_unverified_context()).read())
"""
    lines = cluster.run(f"docker compose exec -T replica python3 -c '{asked}'").splitlines()
    assert '"id":"a/proxied"' in lines[0]
    assert lines[1] == "b'proxied'"
