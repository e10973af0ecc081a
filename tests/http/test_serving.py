"""`drivebay serve` as an operator meets it: starts, stops, restarts, crashes, logs."""

import asyncio
import base64
import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from adapters.storage.s3.config import S3Config
from entrypoints.cli.main import main
from tests.contracts.blob_store import pattern
from tests.http.server import DRIVEBAY, PATIENCE, UVICORN, Server, free_port
from tests.http.wire import AUTH, JSON, TOKEN, Connection, get, post, request

FORBIDDEN = "can't be used: Operation not permitted."


class TestAStartThatFails:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            ({"PORT": "http"}, "PORT: 'http' can't be used: Expected `int`, got `str`."),
            ({"STORAGE": "tape"}, "STORAGE: 'tape' is no storage. Allowed: fs (or filesystem, local), database"),
            ({"FS_BASE_PATH": "/no/such"}, "FS_BASE_PATH: There is no folder /no. Create it."),
            ({"FS_BASE_PATH": "/sys/x"}, f"FS_BASE_PATH: The folder /sys/x {FORBIDDEN} Let this user write there."),
            ({"FS_BASE_PATH": "/dev/null"}, "FS_BASE_PATH: The folder /dev/null can't be used: Not a directory."),
            ({"DATA_DIR": "/no/such"}, "DATA_DIR: There is no folder /no. Create it."),
            ({"DATA_DIR": "/sys/x"}, f"DATA_DIR: The folder /sys/x {FORBIDDEN} Set another."),
            ({"DATABASE_URL": "sqlite:////no/such.db"}, "DATABASE_URL: There is no folder /no. Create it."),
            (
                {"DATABASE_URL": "sqlite:////sys/x.db"},
                "DATABASE_URL: The database /sys/x.db can't be used: unable to open",
            ),
            ({"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}, "DATABASE_URL: PostgreSQL can't be reached: "),
            ({"DATABASE_URL": "mysql://u:p@127.0.0.1:1/d"}, "DATABASE_URL: MariaDB can't be reached: "),
            ({"HOST": "2001:db8::1"}, "HOST: '2001:db8::1' is no address of this machine. Try 127.0.0.1."),
            ({"HOST": "192.0.2.1"}, "HOST: '192.0.2.1' is no address of this machine. Try 127.0.0.1."),
            ({"HOST": "a..b"}, "HOST: 'a..b' is no address of this machine. Try 127.0.0.1."),
            ({"HOST": "no host"}, "HOST: 'no host' is no address of this machine. Try 127.0.0.1."),
        ],
    )
    def test_names_the_setting_and_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], line: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        port = str(free_port())
        result = CliRunner(env={"AUTH_BEARER_TOKEN": TOKEN, "PORT": port, **settings}).invoke(main, ["serve"])
        assert (result.exit_code, result.stdout) == (2, "")
        [error] = result.stderr.splitlines()
        assert error.startswith(f"drivebay: {line}")

    def test_options_are_checked_like_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        result = CliRunner(env={"STORAGE": "memory"}).invoke(main, ["serve", "--workers", "4"])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("drivebay: WORKERS: with STORAGE=memory")

    def test_a_port_in_use(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = CliRunner(env={"AUTH_BEARER_TOKEN": TOKEN}).invoke(main, ["serve", "--port", str(port)])
        line = f"drivebay: PORT: {port} is in use on 127.0.0.1. Stop the program that uses it, or set another.\n"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", line)

    def test_of_two_that_start_together_on_a_port_one_serves(self, tmp_path: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "AUTH_BEARER_TOKEN": TOKEN, "PORT": str(free_port())}
        starting = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            starting.append(
                subprocess.Popen(
                    [DRIVEBAY, "serve"],
                    cwd=tmp_path / name,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        deadline = time.monotonic() + PATIENCE
        while all(server.poll() is None for server in starting) and time.monotonic() < deadline:
            time.sleep(0.02)
        ended = [server.returncode for server in starting if server.returncode is not None]
        while not _listens(int(environment["PORT"])) and time.monotonic() < deadline:
            time.sleep(0.02)
        for server in starting:
            server.terminate()
        errors = "".join(server.communicate(timeout=PATIENCE * 2)[1] for server in starting)
        assert ended == [2]
        assert "is in use on 127.0.0.1" in errors


class TestAStart:
    @pytest.mark.parametrize("command", [None, [DRIVEBAY, "serve"]], ids=["forked", "a program"])
    def test_from_any_folder_with_nothing_set(self, tmp_path: Path, command: list[str] | None) -> None:
        with Server(tmp_path, command, AUTH_BEARER_TOKEN="") as server:
            token = (tmp_path / "data" / "token").read_text().strip()
            assert server.output().splitlines() == [
                f"A new token: {token}",
                f"Drivebay 0.1.0 at {server.url}, described at {server.url}/docs",
                f"  blobs  in {tmp_path}/data/blobs",
                f"  rows   SQLite, {tmp_path}/data/drivebay.db",
                f"  token  in {tmp_path}/data/token",
            ]
            with server.client(token) as client:
                assert client.post("/v1/blobs", json={"id": "a", "data": ""}).status_code == 201
            with server.client() as client:
                assert client.get("/v1/blobs/a").status_code == 401

    def test_the_token_is_printed_by_the_start_that_made_it_alone(self, tmp_path: Path) -> None:
        with Server(tmp_path, AUTH_BEARER_TOKEN="") as first:
            token = (tmp_path / "data" / "token").read_text().strip()
            assert (first.output().count(token), first.errors().count(token)) == (1, 0)
        with Server(tmp_path, AUTH_BEARER_TOKEN="") as second:
            assert token not in second.output() + second.errors()
            assert f"  token  in {tmp_path}/data/token" in second.output().splitlines()

    def test_a_name_that_is_close_to_a_setting_is_logged(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("STORGE=memory\n")
        with Server(tmp_path) as server:
            hints = [line["hint"] for line in server.log() if line["event"] == "a setting has no effect"]
            assert hints == ["STORGE in .env is not a setting, and has no effect. Did you mean STORAGE?"]

    def test_with_a_dotenv_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            'SECRET_KEY = "a-key"  # mine\nLOCAL_STORAGE_PATH=here\nDATABASE_URL=sqlite:///r.db'
        )
        with Server(tmp_path, AUTH_BEARER_TOKEN="") as server, server.client("a-key") as client:
            assert client.post("/v1/blobs", json={"id": "a", "data": ""}).status_code == 201
        assert {path.name for path in tmp_path.iterdir()} >= {"here", "r.db"}
        assert not (tmp_path / "data").exists()

    def test_in_memory_and_at_a_name(self, tmp_path: Path) -> None:
        with Server(tmp_path, STORAGE="memory", HOST="localhost") as server, server.client() as client:
            assert f"at http://localhost:{server.port}," in server.output()
            assert client.post("/v1/blobs", json={"id": "a", "data": "AAAA"}).status_code == 201
            assert client.get("/v1/blobs/a").json()["size"] == 3
            assert "it is gone when this stops" in server.output()
        assert not (tmp_path / "data").exists()

    def test_a_storage_for_older_blobs_does_not_hold_up_the_start(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never answers
            (tmp_path / ".env").write_text(
                f"S3_BUCKET=b\nS3_ACCESS_KEY=a\nS3_SECRET_KEY=s\nS3_ENDPOINT=http://127.0.0.1:{silent.getsockname()[1]}\n"
            )
            with Server(tmp_path) as server, server.client() as client:
                assert client.post("/v1/blobs", json={"id": "a", "data": "AAAA"}).status_code == 201

    @pytest.mark.docker
    def test_a_bucket_that_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_server: S3Config
    ) -> None:
        monkeypatch.chdir(tmp_path)
        bucket = {"STORAGE": "s3", "S3_BUCKET": "nobodys", "S3_ENDPOINT": s3_server.endpoint, "PORT": str(free_port())}
        key = {"S3_ACCESS_KEY": s3_server.access_key, "S3_SECRET_KEY": s3_server.secret_key}
        key["AUTH_BEARER_TOKEN"] = TOKEN
        result = CliRunner(env=bucket | key | {"S3_FORCE_PATH_STYLE": "true"}).invoke(main, ["serve"])
        assert (result.exit_code, result.stdout) == (2, "")
        [error] = result.stderr.splitlines()
        assert error.startswith(
            "drivebay: S3_BUCKET, S3_ENDPOINT, S3_ACCESS_KEY or S3_SECRET_KEY: The bucket nobodys can't"
        )

    def test_under_another_server(self, tmp_path: Path) -> None:
        with Server(tmp_path, command=UVICORN, exit_code=-signal.SIGTERM) as server, server.client() as client:
            assert client.post("/v1/blobs", json={"id": "a//b/", "data": "AAAA"}).status_code == 201
            assert client.get("/v1/blobs/a%2F%2Fb%2F?alt=json").json()["id"] == "a//b/"
            assert client.get("/nowhere").headers["content-type"] == "application/problem+json"
            client.post("/v1/blobs", json={"id": "large", "data": base64.b64encode(pattern(6_000_000)).decode()})
            [file] = [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.stat().st_size == 6_000_000]
            os.truncate(file, 3_000_000)
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/v1/blobs/large")
            assert client.get("/health/ready").status_code == 200

    def test_again_when_the_code_changes(self, tmp_path: Path) -> None:
        with Server(tmp_path, command=[DRIVEBAY, "serve", "--reload"]) as server, server.client() as client:
            [first] = [pid for pid in server.workers() if _is_worker(pid)]
            os.utime(Path(__file__).parents[2] / "entrypoints" / "__init__.py")
            server.wait_until(lambda: first not in server.workers())
            server.wait_until_it_answers()
            assert client.post("/v1/blobs", json={"id": "a", "data": "AAAA"}).status_code == 201


def _is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


class TestKeeping:
    def test_blobs_outlive_a_restart_and_a_kill(self, tmp_path: Path) -> None:
        data = base64.b64encode(pattern(100_000)).decode()
        blobs = {name: {"id": name, "data": data} for name in ("first", "second")}
        with Server(tmp_path) as server, server.client() as client:
            client.post("/v1/blobs", json=blobs["first"])
            before = client.get("/v1/blobs/first").content
        with Server(tmp_path) as server, server.client() as client:
            assert client.get("/v1/blobs/first").content == before
            assert client.post("/v1/blobs", json=blobs["second"]).status_code == 201
            for pid in (server.process.pid, *server.workers()):
                os.kill(pid, signal.SIGKILL)
            server.process.wait(PATIENCE)
        with Server(tmp_path) as server, server.client() as client:
            assert client.get("/v1/blobs/first").content == before
            assert client.get("/v1/blobs/second").json()["data"] == data

    def test_a_worker_that_dies_is_replaced_and_ctrl_c_stops_all(self, tmp_path: Path) -> None:
        with Server(tmp_path, WORKERS="2") as server:
            server.wait_until(lambda: server.listeners() == 2)
            worker, other = server.workers()
            os.kill(worker, signal.SIGKILL)
            server.wait_until(lambda: worker not in server.workers() and server.listeners() == 2)
            assert other in server.workers()
            with server.client() as client:
                assert client.post("/v1/blobs", json={"id": "a", "data": ""}).status_code == 201
            # A terminal sends it to the whole group of processes. Asked twice at once, a worker could hang.
            os.killpg(server.process.pid, signal.SIGINT)
            assert server.process.wait(PATIENCE) == 0
            assert "did not stop in time" not in server.errors()

    def test_replaced_and_deleted_bytes_are_kept_as_long_as_the_setting_says(self, tmp_path: Path) -> None:
        with Server(tmp_path, READERS_GRACE="0") as server, server.client() as client:
            for blob_id in "aab":
                client.put(f"/v1/blobs/{blob_id}", content=b"x")
            client.delete("/v1/blobs/b")
            server.wait_until_left(blobs=1)
        with Server(tmp_path) as server, server.client() as client:
            client.put("/v1/blobs/a", content=b"y")
            assert server.left() == {"files": 2, "blobs": 1, "uploads": 0, "garbage": 1}

    def test_a_stop_lets_requests_finish_and_does_not_wait_for_idle_connections(self, own_server: Server) -> None:
        body = b'{"id":"slow","data":"SGVsbG8gV29ybGQh"}'
        headers = f"{AUTH}{JSON}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"
        with own_server.connect() as connection, own_server.client() as idle:
            idle.get("/health/live")
            connection.sendall(request("POST /v1/blobs", headers))
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the request is being handled
            own_server.process.send_signal(signal.SIGTERM)
            own_server.wait_until(lambda: not _listens(own_server.port))
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 201")
            assert own_server.process.wait(PATIENCE) == 0
        assert own_server.left() == {"files": 1, "blobs": 1, "uploads": 0, "garbage": 0}
        assert {line["level"] for line in own_server.log()} == {"info"}

    async def test_two_servers_on_one_database_and_one_folder(self, tmp_path: Path) -> None:
        data = {number: base64.b64encode(pattern(number * 10)).decode() for number in range(500)}

        async def use(one: Connection, other: Connection, numbers: range) -> None:
            for number in numbers:
                message = post({"id": f"{number}", "data": data[number]})
                assert [(await connection.ask(message))[0] for connection in (one, other)] == [201, 409]
                for connection in (one, other):
                    status, body = await connection.ask(get(f"/v1/blobs/{number}"))
                    assert (status, json.loads(body)["data"]) == (200, data[number])

        async def client(ports: tuple[int, int], first: int) -> None:
            async with Connection(ports[first % 2]) as one, Connection(ports[1 - first % 2]) as other:
                await use(one, other, range(first, 500, 16))

        with Server(tmp_path) as one, Server(tmp_path) as two:
            await asyncio.gather(*(client((one.port, two.port), first) for first in range(16)))
            await asyncio.to_thread(one.wait_until_left, 500)
            levels = {line["level"] for server in (one, two) for line in server.log()}
        assert levels == {"info"}


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


class TestLog:
    def test_a_line_a_request_and_no_secret(self, own_server: Server) -> None:
        with own_server.client() as client:
            client.post(
                "/v1/blobs", json={"id": "hidden-id", "data": "SGVsbG8gV29ybGQh"}, headers={"X-Request-ID": "r1"}
            )
            client.get("/v1/blobs/hidden-id")
            client.get("/v1/blobs/hidden-id?access_token=hidden")
            client.get("/v1/blobs/hidden-id", headers={"Authorization": "Bearer hidden-wrong"})
            client.get("/nowhere/hidden")
        assert own_server.stop() == 0
        lines = [line for line in own_server.log() if line["event"] == "request" and "health" not in line["route"]]
        requests = [
            (line["method"], line["route"], line["status"], line["bytes_in"], line["bytes_out"]) for line in lines
        ]
        assert requests[:2] == [("POST", "/v1/blobs", 201, 44, 177), ("GET", "/v1/blobs/{id}", 200, 0, 90)]
        assert [line[:3] for line in requests[2:]] == [
            ("GET", "/v1/blobs/{id}", 400),
            ("GET", "/v1/blobs/{id}", 401),
            ("GET", "unknown", 404),
        ]
        assert lines[0]["request_id"] == "r1"
        assert all(line["milliseconds"] >= 0 and line["timestamp"].endswith("Z") for line in lines)
        for text in (own_server.errors(), own_server.output()):
            assert TOKEN not in text
            assert "hidden" not in text

    def test_lines_for_people_on_a_terminal(self, tmp_path: Path) -> None:
        ours, theirs = pty.openpty()
        port = free_port()
        environment = {"PATH": os.environ["PATH"], "PORT": str(port), "AUTH_BEARER_TOKEN": TOKEN}
        with subprocess.Popen([DRIVEBAY, "serve"], cwd=tmp_path, env=environment, stderr=theirs) as process:
            os.close(theirs)
            seen = ""
            while "GET" not in seen:  # ends: without an answer the request raises, and an answer has a line
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=PATIENCE)
                except httpx.TransportError:
                    assert process.poll() is None
                else:
                    seen += os.read(ours, 10_000).decode()
            process.terminate()
        os.close(ours)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
        assert re.search(r"request .*method=GET .*route=/health/live .*status=200", plain)


class TestHealth:
    def test_it_lives_and_is_ready(self, client: httpx.Client) -> None:
        for path in ("/health/live", "/health/ready"):
            answer = httpx.get(f"{client.base_url}{path}")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    def test_readiness_names_the_part_that_failed(self, own_server: Server) -> None:
        blobs = own_server.folder / "data" / "blobs"
        with own_server.client() as client:
            assert client.get("/health/ready").status_code == 200
            away = blobs.rename(blobs.with_name("away"))
            own_server.wait_until(lambda: client.get("/health/ready").status_code == 503)
            answer = client.get("/health/ready")
            assert answer.json()["code"] == "not_ready"
            assert answer.json()["detail"] == "Not ready: the storage (unavailable). The log has the details."
            assert answer.headers["retry-after"] == "5"
            assert client.get("/health/live").status_code == 200
            stored = client.post("/v1/blobs", json={"id": "a", "data": ""})
            assert (stored.status_code, stored.json()["code"]) == (503, "unavailable")
            assert stored.headers["retry-after"] == "5"
            away.rename(blobs)
            own_server.wait_until(lambda: client.get("/health/ready").status_code == 200)
            assert client.post("/v1/blobs", json={"id": "a", "data": ""}).status_code == 201
        # Garbage that could not be deleted meanwhile waits for its next turn.
        assert own_server.left() | {"garbage": 0} == {"files": 1, "blobs": 1, "uploads": 0, "garbage": 0}


class TestDocs:
    def test_the_page_and_all_its_files_come_from_here(self, client: httpx.Client) -> None:
        page = httpx.get(f"{client.base_url}/docs")
        assert page.headers["content-type"].startswith("text/html")
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(links) == 4
        for link in links:
            assert re.fullmatch(r"/docs/files/[\w.-]+", link)
            file = httpx.get(f"{client.base_url}{link}")
            assert file.status_code == 200, link
            assert len(file.content) > 100
        assert "validatorUrl: null" in httpx.get(f"{client.base_url}/docs/files/docs.js").text
