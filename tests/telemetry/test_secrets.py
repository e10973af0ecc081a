"""No secret gets out, whatever goes wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.storage.s3.config import S3Config
from entrypoints.cli.main import main
from tests.backends import ceph, ftp
from tests.backends.ftp import FtpServer
from tests.http.server import Server, free_port
from tests.telemetry.collector import Collector
from tests.telemetry.scrape import scrape_until

SECRET = "hushhush"


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a start with these settings says, which fails."""
    monkeypatch.chdir(tmp_path)

    def start(**settings: str) -> str:
        environment = {"AUTH_BEARER_TOKEN": SECRET, "PORT": str(free_port()), **settings}
        result = CliRunner(env=environment).invoke(main, ["serve"])
        assert result.exit_code == 2, result.output
        return result.output

    return start


@pytest.mark.docker
class TestAWrongPassword:
    def test_of_postgresql(self, refused: Callable[..., str], postgresql_server: str) -> None:
        self.has_no_secret(
            refused(DATABASE_URL=f"postgresql://{SECRET}:{SECRET}@{postgresql_server.partition('@')[2]}/d")
        )

    def test_of_mariadb(self, refused: Callable[..., str], mariadb_server: str) -> None:
        self.has_no_secret(refused(DATABASE_URL=f"mariadb://root:{SECRET}@{mariadb_server.partition('@')[2]}/d"))

    def test_of_s3(self, refused: Callable[..., str], s3_server: S3Config) -> None:
        self.has_no_secret(refused(**ceph.settings(s3_server) | {"S3_SECRET_KEY": SECRET}))

    def test_of_ftp(self, refused: Callable[..., str], vsftpd_server: FtpServer) -> None:
        self.has_no_secret(refused(**ftp.settings(vsftpd_server) | {"FTP_PASSWORD": SECRET}))

    def has_no_secret(self, output: str) -> None:
        assert "drivebay: " in output
        # Some servers repeat a name, which is no secret.
        assert output.count(SECRET) <= output.count(f'user "{SECRET}"')


@pytest.mark.docker
def test_a_server_has_none_in_logs_metrics_traces_and_answers(
    tmp_path: Path, s3_server: S3Config, vsftpd_server: FtpServer
) -> None:
    wrong = ceph.settings(s3_server) | ftp.settings(vsftpd_server) | {"S3_SECRET_KEY": SECRET, "FTP_PASSWORD": SECRET}
    with Collector() as collector:
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_HEADERS": f"key={SECRET}"}
        settings: dict[str, str] = wrong | tracing | {"AUTH_BEARER_TOKEN": SECRET, "STORAGE": "fs"}
        answers = []
        with Server(tmp_path, None, 0, **settings) as server, server.client(SECRET) as client:
            blobs = tmp_path / "data" / "blobs"
            client.put("/v1/blobs/a", content=SECRET.encode())
            answers.append(client.put(f"/v1/blobs/a?key={SECRET}", headers={"If-Match": f'"{SECRET}"'}, content=b"x"))
            blobs.rename(blobs.with_name("away"))
            answers.append(client.put("/v1/blobs/b", headers={"Content-Type": f"text/{SECRET}"}, content=b"x"))
            answers.append(client.get("/v1/blobs/a", headers={"Cookie": SECRET, "traceparent": SECRET}))
            answers.append(client.get("/health/ready"))
            client.headers["Authorization"] = f"Bearer {SECRET}-wrong"
            answers.append(client.get("/v1/blobs/a"))
            assert [answer.status_code for answer in answers] == [400, 503, 503, 503, 401]
            found = scrape_until(server, lambda found: found.value("drivebay_backend_errors_total", backend="ftp") > 0)
            server.wait_until(lambda: server.errors().count("blobs on this storage can't be read now") == 2)
        texts = [server.errors(), server.output(), found.text, collector.texts.decode("latin-1")]
        texts += [answer.text + str(answer.headers) for answer in answers]
    assert len(collector.spans) > 5
    assert [text for text in texts if SECRET in text] == []
