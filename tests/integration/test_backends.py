"""The backends of a test run: started once, cleaned up after, and as strict as they are said to be."""

import ftplib
import signal
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from tests.backends.ftp import FtpServer
from tests.backends.run import hold, lives, no_alarm, once


def test_the_clock_of_a_test_stands_while_a_backend_is_started() -> None:
    rang = threading.Event()
    former = signal.signal(signal.SIGALRM, lambda *_: rang.set())
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with no_alarm():
            assert not rang.wait(0.3)
        assert rang.wait(10)
    finally:
        signal.signal(signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, left)


class TestOnce:
    def test_only_the_first_calls_and_all_get_the_result(self, tmp_path: Path) -> None:
        calls: list[int] = []
        together = threading.Barrier(4)

        def answer() -> int:
            calls.append(1)
            return 7

        def ask() -> int:
            together.wait(20)
            return once(tmp_path / "answer", answer, answer)

        with ThreadPoolExecutor(4) as threads:
            assert [future.result() for future in [threads.submit(ask) for _ in range(4)]] == [7] * 4
        assert len(calls) == 1

    def test_a_failure_is_passed_on(self, tmp_path: Path) -> None:
        def fail() -> int:
            raise OSError("the disk is full")

        for fault in (OSError, RuntimeError):
            with pytest.raises(fault, match="the disk is full"):
                once(tmp_path / "answer", fail, fail)


def test_a_run_lives_while_it_holds_its_folder(tmp_path: Path) -> None:
    assert not lives(tmp_path)
    with hold(tmp_path):
        assert lives(tmp_path)
    assert not lives(tmp_path)


def log_in(server: FtpServer, client: ftplib.FTP) -> None:
    client.connect(server.host, server.port, timeout=20)
    client.login(server.user, server.password)


def there_and_back(client: ftplib.FTP) -> None:
    client.storbinary("STOR refused", BytesIO(b"x"))
    client.retrbinary("RETR refused", lambda _: None)


@pytest.mark.docker
class TestFtpServers:
    @pytest.fixture(params=["vsftpd", "proftpd"])
    def image(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def shared(self, image: str, vsftpd_server: FtpServer, proftpd_server: FtpServer) -> FtpServer:
        return {"vsftpd": vsftpd_server, "proftpd": proftpd_server}[image]

    def test_the_certificate_stands_a_strict_look(self, shared: FtpServer) -> None:
        context = ssl.create_default_context(cafile=shared.certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with ftplib.FTP_TLS(context=context) as client:
            log_in(shared, client)

    def test_nobody_is_let_in_without_tls(self, shared: FtpServer) -> None:
        with ftplib.FTP() as client, pytest.raises(ftplib.error_perm, match=r"53|55"):
            log_in(shared, client)

    def test_data_on_a_tls_session_of_its_own_is_refused(self, shared: FtpServer) -> None:
        with ftplib.FTP_TLS(context=ssl.create_default_context(cafile=shared.certificate)) as client:
            log_in(shared, client)
            client.prot_p()
            with pytest.raises(ftplib.all_errors):
                there_and_back(client)

    def test_one_of_its_own_settings(self, image: str, start_ftp: Callable[..., FtpServer]) -> None:
        server = start_ftp(image, tls="none", max_clients=1, disk=1 << 20)
        with closing(ftplib.FTP()) as client, closing(ftplib.FTP()) as second:
            log_in(server, client)
            with pytest.raises(ftplib.all_errors, match=r"421|530"):
                log_in(server, second)
            with pytest.raises(ftplib.all_errors):
                client.storbinary("STOR large", BytesIO(bytes(32 << 20)))
