"""A server that is reached by HTTPS."""

import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from entrypoints.cli import main as cli
from entrypoints.cli.main import main
from entrypoints.config.loading import load
from tests.contracts.blob_store import MIB, pattern
from tests.http import certificates
from tests.http.server import PATIENCE, Server, free_port
from tests.http.wire import AUTH, TOKEN, answer, ask_once, get, request


class TlsServer(Server):
    """One that has a certificate of its own, which its connections verify."""

    def __init__(self, folder: Path, kind: certificates.Kind = certificates.USUAL, **settings: str) -> None:
        self.certificate, key = certificates.make(folder, kind=kind)
        super().__init__(folder, None, 0, TLS_CERTIFICATE=str(self.certificate), TLS_KEY=str(key), **settings)
        self.url = f"https://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return self.context().wrap_socket(super().connect(), server_hostname="127.0.0.1")

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with TlsServer(tmp_path_factory.mktemp("tls"), WORKERS="2") as server:
        yield server


def test_a_client_that_verifies_it(server: TlsServer) -> None:
    assert f"at {server.url}, described at {server.url}/docs" in server.output()
    data = pattern(3 * MIB)
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, verify=server.context()
    ) as client:
        assert client.put("/v1/blobs/a", content=data).status_code == 201
        found = client.get("/v1/blobs/a?alt=media")
    assert found.content == data
    assert found.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_versions(server: TlsServer, version: ssl.TLSVersion) -> None:
    context = server.context()
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(Server.connect(server), server_hostname="127.0.0.1") as connection:
        assert ask_once(connection, get("/health/live")).status == 200


def test_no_older_version_and_no_plain_http(server: TlsServer) -> None:
    hello = bytes.fromhex("160301002f0100002b0301") + bytes(32) + bytes.fromhex("000004c013c0140100")  # TLS 1.0
    for message in (hello, get("/health/live")):
        with Server.connect(server) as connection:
            connection.sendall(message)
            assert not connection.recv(100).startswith((b"HTTP", b"\x16"))


def test_a_client_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    with TlsServer(tmp_path) as server, server.connect() as connection:
        body = pattern(30 * MIB)
        connection.sendall(request("PUT /v1/blobs/large", f"{AUTH}Content-Length: {len(body)}\r\n", body))
        with connection.makefile("rb") as stream:
            assert answer(stream).status == 201
    with TlsServer(tmp_path, CLIENT_TIMEOUT="1") as server:
        with server.connect() as connection:
            connection.sendall(get("/v1/blobs/large?alt=media"))
            server.wait_until(lambda: server.connections() == 0)
        with server.connect() as silent:
            assert silent.recv(1) == b""


def test_a_client_that_does_not_shake_hands_is_let_go(tmp_path: Path) -> None:
    with TlsServer(tmp_path, CLIENT_TIMEOUT="1") as server, Server.connect(server) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(100) == b""


def test_a_stop_lets_requests_finish(tmp_path: Path) -> None:
    with TlsServer(tmp_path) as server, server.connect() as connection:
        connection.sendall(request("PUT /v1/blobs/a", f"{AUTH}Content-Length: 5\r\nExpect: 100-continue\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(b"hello")
        with connection.makefile("rb") as stream:
            assert answer(stream).status == 201
        assert server.process.wait(PATIENCE) == 0


class TestAStartThatFails:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, Path]:
        certificate, key = certificates.make(tmp_path)
        _, other = certificates.make(tmp_path, "other")
        (tmp_path / "text").write_text("hello")
        (tmp_path / "torn").write_text(certificate.read_text()[:200])
        locked = certificates.lock(key, tmp_path / "locked.key")
        paths = (certificate, key, other, tmp_path / "text", tmp_path / "torn", locked, tmp_path / "nothing")
        found = dict(zip(("certificate", "key", "other", "text", "torn", "locked", "nothing"), paths, strict=True))
        for name, kind in certificates.REFUSED.items():
            found[name], found[f"{name} key"] = certificates.make(tmp_path, name, kind=kind)
        found["version 1"] = certificates.as_version_1(certificate, key, tmp_path / "version-1.pem")
        return found

    @pytest.mark.parametrize("kind", certificates.TAKEN.values(), ids=certificates.TAKEN)
    def test_kinds_of_keys_that_are_taken(self, tmp_path: Path, kind: certificates.Kind) -> None:
        with TlsServer(tmp_path, kind) as server, server.connect() as connection:
            assert ask_once(connection, get("/health/live")).status == 200

    @pytest.mark.parametrize(
        ("certificate", "key", "line"),
        [
            ("nothing", "key", "TLS_CERTIFICATE: {0} can't be read: No such file or directory. Let this user read it."),
            ("certificate", "nothing", "TLS_KEY: {1} can't be read: No such file or directory. Let this user read it."),
            ("text", "key", "TLS_CERTIFICATE: {0} is not in PEM: it has no line '-----BEGIN CERTIFICATE-----' in it."),
            ("certificate", "certificate", "TLS_KEY: {1} is not in PEM: it has no line 'PRIVATE KEY-----' in it."),
            (
                "certificate",
                "other",
                "TLS_KEY: {1} is not the key of {0}, or that does not begin with the server's own.",
            ),
            ("torn", "key", "TLS_CERTIFICATE, TLS_KEY: {0} and {1} can't be used: "),
            (
                "version 1",
                "key",
                "TLS_CERTIFICATE: {0} is of X.509 version 1. Make one of version 3: openssl",
            ),
            *(
                (name, f"{name} key", "TLS_CERTIFICATE, TLS_KEY: the key of {0} is of a kind that can't be used. Use")
                for name in certificates.REFUSED
            ),
            ("certificate", "locked", "TLS_KEY: {1} has a password. Take it off: openssl pkey -in {1} -out another."),
        ],
    )
    def test_names_the_file_and_says_what_to_do(
        self,
        files: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        certificate: str,
        key: str,
        line: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        paths = {"TLS_CERTIFICATE": str(files[certificate]), "TLS_KEY": str(files[key])}
        result = CliRunner(env={"AUTH_BEARER_TOKEN": TOKEN, "PORT": str(free_port()), **paths}).invoke(main, ["serve"])
        assert (result.exit_code, result.stdout) == (2, "")
        [error] = result.stderr.splitlines()
        assert error.startswith("drivebay: " + line.format(files[certificate], files[key]))

    def test_both_are_needed(self, tmp_path: Path) -> None:
        result = CliRunner(env={"TLS_KEY": str(tmp_path)}).invoke(main, ["serve"])
        assert "TLS_CERTIFICATE and TLS_KEY: only one is given. Give both, or none." in result.stderr


def test_a_note_where_others_can_read_what_passes(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    with_tls = {"TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key)}
    places: list[tuple[str, dict[str, str], bool]] = [
        ("192.0.2.1", {}, True),
        ("192.0.2.1", with_tls, False),
        ("127.0.0.2", {}, False),
        ("::1", {}, False),
    ]
    for address, given, is_reported in places:
        banner = cli._banner(load(given, tmp_path / "none"), address, keeps_token=False)
        assert ("without TLS" in banner) is is_reported
