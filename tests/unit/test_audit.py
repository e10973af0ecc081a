"""The audit trail: its lines, the file that they go to, and the middleware that records them."""

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from structlog.testing import capture_logs

from application.attempts import ATTEMPTS, Attempt
from application.authorize import authorize, authorize_some
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId
from domain.errors import NotGranted
from entrypoints.http.middleware.audit import AuditMiddleware
from entrypoints.http.middleware.base.exchange import Exchange, Responder
from entrypoints.http.middleware.base.stack import MiddlewareStack
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.telemetry.audit import AuditLog
from entrypoints.telemetry.request_lines import REQUEST_ID
from tests.asgi import scope

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
WRITERS, REQUESTS, LINES = 4, 300, 3
ROTATIONS = 20
PATIENCE = 60  # seconds
# What may be in an id, and what may not: neither ends a line.
IDS = [
    *("a\nb", "\r\n", "\n", 'a"b', '"', "\\", '\\"', "\\n", "a\x00b", "\x1b[31m", "\x7f", "\x85", "\u2028\u2029"),
    *("☺é👩‍🚀\U0010ffff", '{"action":"read"}', '"}\n{"action":"admin","outcome":"ok"}\n', "x" * 1024, '"' * 1024, ""),
]


def attempt(
    ids: str = "films/a",
    action: Action = Action.READ,
    *,
    key: str = "k5" * 8,
    is_prefix: bool = False,
    is_granted: bool = True,
) -> Attempt:
    return Attempt(key, action.value, ids, is_prefix, is_granted)


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, each of them an object, and the last one with an end."""
    found = path.read_bytes().split(b"\n")
    assert found.pop() == b""
    return [json.loads(line) for line in found]


@contextmanager
def opened(path: Path, *, with_ids: bool = True) -> Iterator[AuditLog]:
    log = AuditLog(str(path), with_ids=with_ids)
    log.open()
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[AuditLog]:
    with opened(path) as log:
        yield log


class TestLines:
    def test_a_line_has_all_that_is_known(self, log: AuditLog, path: Path) -> None:
        token = REQUEST_ID.set("a request")
        before = datetime.now(UTC)
        log.record([attempt(), attempt("films/", Action.LIST, is_prefix=True)], 200, "192.0.2.1")
        REQUEST_ID.reset(token)
        first, second = lines(path)
        for line in (first, second):
            assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
        common = {"outcome": "ok", "key": "k5" * 8, "status": 200, "request_id": "a request"}
        assert first == {"action": "read", "id": "films/a", **common}
        assert second == {"action": "list", "prefix": "films/", **common}

    @pytest.mark.parametrize(
        ("is_granted", "status", "outcome"),
        [
            *((True, status, "ok") for status in (200, 201, 204, 206, 304, 399)),
            *((True, status, "failed") for status in (400, 404, 409, 412, 499, 500, 503)),
            (True, 0, "aborted"),
            *((False, status, "forbidden") for status in (403, 404, 200, 500, 0)),
        ],
    )
    def test_a_line_has_an_outcome(
        self, log: AuditLog, path: Path, is_granted: bool, status: int, outcome: str
    ) -> None:
        log.record([attempt(is_granted=is_granted)], status, "")
        [line] = lines(path)
        assert (line["outcome"], line.get("status", 0)) == (outcome, status)

    @pytest.mark.parametrize("action", Action)
    def test_each_action_has_its_name(self, log: AuditLog, path: Path, action: Action) -> None:
        log.record([attempt(action=action)], 200, "")
        assert [line["action"] for line in lines(path)] == [action.value]

    def test_equal_attempts_are_one_line(self, log: AuditLog, path: Path) -> None:
        different = [
            attempt("b"),
            attempt("a"),
            attempt("a", is_prefix=True),
            attempt("a", is_granted=False),
            attempt("a", Action.WRITE),
            attempt("a", key="other"),
        ]
        log.record([*different, *different[::-1], attempt("b")], 200, "")
        found = [
            (line["key"], line["action"], line.get("id", line.get("prefix")), "prefix" in line, line["outcome"] == "ok")
            for line in lines(path)
        ]
        assert found == [(each.key_id, each.action, each.ids, each.is_prefix, each.is_granted) for each in different]
        log.record([attempt("b")], 200, "")
        assert len(lines(path)) == len(different) + 1, "another request"

    def test_one_request_may_have_several_outcomes(self, log: AuditLog, path: Path) -> None:
        log.record([attempt("a"), attempt("b", is_granted=False)], 403, "")
        assert [line["outcome"] for line in lines(path)] == ["failed", "forbidden"]

    def test_a_failed_authentication_has_the_address(self, log: AuditLog, path: Path) -> None:
        log.record([], 401, "2001:db8::1")
        [line] = lines(path)
        assert {"time", "request_id"} >= line.keys() - {"action", "outcome", "status", "client"}
        assert (line["action"], line["outcome"]) == ("authenticate", "forbidden")
        assert (line["status"], line["client"]) == (401, "2001:db8::1")

    def test_a_line_has_its_subject_and_how_it_was_authorized(self, log: AuditLog, path: Path) -> None:
        attempts = [
            Attempt("k5", "revoke_key", "", is_prefix=False, is_granted=True, subject="a key"),
            Attempt("k5", "read", "a", is_prefix=False, is_granted=True, via="signature"),
            Attempt("k5", "read", "a", is_prefix=False, is_granted=True, via="a link"),
        ]
        log.record(attempts, 200, "")
        assert [(line["action"], line.get("id"), line.get("subject"), line.get("via")) for line in lines(path)] == [
            ("revoke_key", None, "a key", None),
            ("read", "a", None, "signature"),
            ("read", "a", None, "a link"),
        ]

    @pytest.mark.parametrize("status", [0, 200, 204, 400, 403, 404, 405, 429, 500])
    def test_without_an_attempt_there_is_no_line(self, log: AuditLog, path: Path, status: int) -> None:
        log.record([], status, "192.0.2.1")
        assert path.read_bytes() == b""

    @pytest.mark.parametrize("status", [401, 429])
    def test_an_attempt_has_authenticated(self, log: AuditLog, path: Path, status: int) -> None:
        log.record([attempt()], status, "192.0.2.1")
        [line] = lines(path)
        assert line["action"] == "read"
        assert "client" not in line

    @pytest.mark.parametrize("is_prefix", [True, False])
    def test_no_id_ends_a_line(self, log: AuditLog, path: Path, is_prefix: bool) -> None:
        log.record([attempt(each, is_prefix=is_prefix) for each in IDS], 200, "")
        log.record([attempt(key=each) for each in IDS], 200, "")
        for each in IDS:
            log.record([], 401, each)
        found = lines(path)
        assert [line.get("prefix" if is_prefix else "id", "") for line in found[: len(IDS)]] == IDS
        assert [line.get("key", "") for line in found[len(IDS) : 2 * len(IDS)]] == IDS
        assert [line["client"] for line in found[2 * len(IDS) :]] == IDS

    def test_request_ids_do_not_end_a_line(self, log: AuditLog, path: Path) -> None:
        for each in IDS:
            token = REQUEST_ID.set(each)
            log.record([attempt()], 200, "")
            REQUEST_ID.reset(token)
        assert [line.get("request_id", "") for line in lines(path)] == IDS

    def test_without_ids_there_is_nothing_of_them(self, path: Path) -> None:
        with opened(path, with_ids=False) as log:
            attempts = [
                attempt(f"secret{number}", action, is_prefix=is_prefix, is_granted=is_granted)
                for number, action in enumerate(Action)
                for is_prefix in (True, False)
                for is_granted in (True, False)
            ]
            for status in (200, 403, 404, 0):
                log.record(attempts, status, "192.0.2.1")
        assert "secret" not in path.read_text()
        assert all({"id", "prefix"}.isdisjoint(line) for line in lines(path))
        assert len(lines(path)) == 4 * len(attempts)


class TestFile:
    @pytest.mark.parametrize("umask", [0, 0o022, 0o077])
    def test_only_the_operator_may_read_it(self, path: Path, umask: int) -> None:
        os.umask(umask)
        with opened(path) as log:
            assert path.stat().st_mode & 0o777 == 0o600
            path.rename(path.with_suffix(".old"))
            log.record([attempt()], 200, "")
            assert path.stat().st_mode & 0o777 == 0o600

    def test_one_that_is_there_is_continued(self, path: Path) -> None:
        path.write_text('{"action":"read"}\n')
        path.chmod(0o640)
        for _ in range(2):
            with opened(path) as log:
                log.record([attempt()], 200, "")
        assert len(lines(path)) == 3
        assert path.stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("name", ["none/audit", "."])
    def test_one_that_cannot_be_made_is_an_error_at_the_start(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OSError, match=r"No such file|Is a directory"):
            AuditLog(str(tmp_path / name), with_ids=True).open()

    def test_a_renamed_file_is_made_again(self, log: AuditLog, path: Path) -> None:
        olds = [path.with_name(f"old{number}") for number in range(3)]
        for old in olds:
            log.record([attempt(old.name)], 200, "")
            path.rename(old)
        log.record([attempt("last")], 200, "")
        assert [[line["id"] for line in lines(each)] for each in (*olds, path)] == [
            ["old0"],
            ["old1"],
            ["old2"],
            ["last"],
        ]

    def test_a_deleted_file_is_made_again(self, log: AuditLog, path: Path) -> None:
        for ids in ("a", "b"):
            path.unlink()
            log.record([attempt(ids)], 200, "")
            assert [line["id"] for line in lines(path)] == [ids]

    def test_a_file_that_another_process_made_is_used(self, log: AuditLog, path: Path) -> None:
        path.rename(path.with_suffix(".old"))
        with opened(path) as other:
            other.record([attempt("a")], 200, "")
            log.record([attempt("b")], 200, "")
        assert [line["id"] for line in lines(path)] == ["a", "b"]
        assert path.with_suffix(".old").read_bytes() == b""

    def test_no_descriptor_is_left_open(self, path: Path) -> None:
        before = os.listdir("/proc/self/fd")
        with opened(path) as log:
            for _ in range(5):
                path.unlink()
                log.record([attempt()], 200, "")
            assert len(os.listdir("/proc/self/fd")) == len(before) + 1
        log.close()
        assert os.listdir("/proc/self/fd") == before

    @pytest.mark.parametrize("is_made_by_another", [True, False])
    def test_a_file_that_is_renamed_while_it_is_opened_is_made_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, is_made_by_another: bool
    ) -> None:
        """Otherwise, all lines of this process go to the renamed file until the next time."""
        real = os.open
        old = path.with_suffix(".old")

        def open_late(*arguments: Any) -> int:
            descriptor = real(*arguments)
            path.rename(old)
            if is_made_by_another:
                os.close(real(path, os.O_WRONLY | os.O_CREAT))
            return descriptor

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", open_late)
            log = AuditLog(str(path), with_ids=True)
            log.open()
        log.record([attempt()], 200, "")
        log.close()
        assert old.read_bytes() == b""
        assert len(lines(path)) == 1


class TestFailures:
    def test_lost_lines_are_logged_once_and_raise_nothing(self, path: Path) -> None:
        path.symlink_to(FULL)
        with capture_logs() as logged, opened(path) as log:
            for _ in range(3):
                log.record([attempt()], 200, "")
            [entry] = logged
            assert entry == {
                "event": "the audit log can't be written, and lines are lost",
                "fault": "No space left on device",
                "log_level": "error",
            }
            path.unlink()
            log.record([attempt("b")], 200, "")
            assert [line["id"] for line in lines(path)] == ["b"]
            path.unlink()
            path.symlink_to(FULL)
            for _ in range(3):
                log.record([attempt()], 200, "")
            assert logged == [entry] * 2, "the next failure is logged again"

    def test_a_folder_may_be_gone_for_a_while(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        with capture_logs() as logged, opened(folder / "audit") as log:
            folder.rename(tmp_path / "another")
            for _ in range(2):
                log.record([attempt("lost")], 200, "")
            assert [entry["fault"] for entry in logged] == ["No such file or directory"]
            folder.mkdir()
            log.record([attempt("written")], 200, "")
        assert [line["id"] for line in lines(folder / "audit")] == ["written"]
        assert (tmp_path / "another" / "audit").read_bytes() == b""

    def test_a_closed_log_raises_nothing(self, path: Path) -> None:
        with opened(path) as log:
            pass
        with capture_logs() as logged:
            log.record([attempt()], 200, "")
        assert len(logged) == 1

    def test_lines_that_are_written_in_part_are_logged_and_do_not_reach_into_others(self, path: Path) -> None:
        """As on a disk with space for some bytes."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        with capture_logs() as logged, opened(path) as log:
            log.record([attempt("before")], 200, "")
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, limits[1]))
                log.record([attempt("lost"), attempt("lost, too")], 200, "")
                assert len(logged) == 1
                log.record([attempt("lost")], 200, "")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            log.record([attempt("after"), attempt("after")], 200, "")
            log.record([attempt("at last")], 200, "")
        assert len(logged) == 1
        first, cut, *others = path.read_bytes().splitlines()
        assert [json.loads(line)["id"] for line in (first, *others)] == ["before", "after", "at last"]
        assert len(cut) == 50


WRITE = dedent("""
    import sys
    from application.attempts import Attempt
    from domain.access import Action
    from entrypoints.telemetry import logs
    from entrypoints.telemetry.audit import AuditLog

    logs.configure()
    target, key, requests, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    log = AuditLog(target, with_ids=True)
    log.open()
    print("open", file=sys.stderr, flush=True)
    for request in range(requests):
        ids = f"{request} " + '"' * (request * 37 % 1000)
        actions = [*Action][:lines]
        attempts = [Attempt(key, action, ids, False, True) for action in actions]
        attempts += [Attempt(key, Action.READ, f"{ids} {number}", False, True) for number in range(len(actions), lines)]
        log.record(attempts, 200, "")
    log.close()
""")


def program(
    target: Path | str, key: str = "k", requests: int = 1, lines: int = LINES, **streams: Any
) -> "subprocess.Popen[bytes]":
    """Start a process that records requests."""
    command = [sys.executable, "-c", WRITE, str(target), key, str(requests), str(lines)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **streams)


def expect_all(found: Sequence[dict[str, Any]]) -> None:
    """Require all lines of all writers, those of each request one after another."""
    together = [(key, [*lines]) for key, lines in groupby(found, lambda line: (line["key"], line["id"].split()[0]))]
    expected = {(str(writer), str(request)) for writer in range(WRITERS) for request in range(REQUESTS)}
    assert len(together) == len(expected)
    assert {key for key, _ in together} == expected
    assert {len(each) for _, each in together} == {LINES}


def expect_lost(process: "subprocess.Popen[bytes]") -> None:
    """Require that a process ends well, and logs once that lines are lost."""
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert errors.count(b"\n") == 2
    assert errors.count(b"the audit log can't be written") == 1


class TestSeveralWriters:
    def test_lines_of_threads_do_not_mix(self, path: Path) -> None:
        def write(writer: int) -> None:
            with opened(path) as log:
                for request in range(REQUESTS):
                    ids = f"{request} " + "☺" * (request * 7 % 300)
                    log.record([attempt(ids, each, key=str(writer)) for each in [*Action][:LINES]], 200, "")

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect_all(lines(path))

    @pytest.mark.parametrize("rotations", [0, ROTATIONS])
    def test_lines_of_processes_do_not_mix_nor_get_lost(self, path: Path, rotations: int) -> None:
        """Also while the file is renamed again and again."""
        processes = [program(path, str(writer), REQUESTS) for writer in range(WRITERS)]
        for process in processes:
            assert process.stderr is not None
            assert process.stderr.readline() == b"open\n"
        olds = [path.with_name(f"old{number}") for number in range(rotations)]
        for old in olds:
            if path.exists():
                path.rename(old)
        assert [process.wait(PATIENCE) for process in processes] == [0] * WRITERS
        for process in processes:
            assert process.stderr is not None
            assert process.stderr.read() == b""
            process.stderr.close()
        found = [line for each in (*olds, path) if each.exists() for line in lines(each)]
        counts = Counter((line["key"], line["id"]) for line in found)
        assert len(counts) == WRITERS * REQUESTS
        assert {*counts.values()} == {LINES}
        expect_all(found)


class TestStandardOutput:
    def test_lines_go_to_it(self) -> None:
        ended, errors = program("stdout", requests=3, stdout=subprocess.PIPE).communicate(timeout=PATIENCE)
        found = [json.loads(line) for line in ended.splitlines()]
        assert [(line["id"][0], line["action"]) for line in found] == [
            (str(request), action.value) for request in range(3) for action in [*Action][:LINES]
        ]
        assert errors == b"open\n"

    def test_lines_of_processes_do_not_mix(self) -> None:
        """A pipe takes 4,096 bytes in one piece. What is longer would wait in the middle of a line when it is full."""
        reader, writer = os.pipe()
        sizes = ((3000, 1), (10, 1000))  # requests, and lines of each
        processes = [program("stdout", "k", *size, stdout=writer) for size in sizes]
        os.close(writer)
        for process in processes:
            assert process.stderr is not None
            assert process.stderr.readline() == b"open\n"
        with os.fdopen(reader, "rb") as pipe:
            found = [json.loads(line) for line in pipe]
        for process in processes:
            _, errors = process.communicate(timeout=PATIENCE)
            assert (process.returncode, errors) == (0, b"")
        assert len(found) == sum(requests * lines for requests, lines in sizes)

    def test_it_is_not_closed(self, capfd: pytest.CaptureFixture[str]) -> None:
        log = AuditLog("stdout", with_ids=False)
        log.open()
        log.close()
        assert os.write(1, b"still open\n") == 11
        assert capfd.readouterr().out == "still open\n"

    def test_one_that_nobody_reads_raises_nothing(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        process = program("stdout", requests=3, stdout=writer)
        os.close(writer)
        expect_lost(process)

    def test_a_full_one_raises_nothing(self) -> None:
        with FULL.open("wb") as full:
            process = program("stdout", requests=3, stdout=full)
            expect_lost(process)


FILMS = Grant(frozenset(Action), ("films/",), key_id="k5" * 8)


def responding(status: int, *authorized: BlobId | str, grant: Grant = FILMS) -> Responder:
    """Return a router that authorizes the reading of blobs, and responds with this status, or 403."""

    async def respond(exchange: Exchange) -> None:
        found = status
        try:
            for each in authorized:
                authorize(grant, Action.READ, each)
        except NotGranted:
            found = 403
        if found:
            await exchange.send({"type": "http.response.start", "status": found, "headers": []})
            await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    return respond


async def other(*_: Any) -> None:
    raise AssertionError("it is HTTP")


async def send(log: AuditLog, router: Responder, client: tuple[str, int] | None = ("192.0.2.1", 5)) -> list[int]:
    """Send a request through the middleware. Return the statuses of its responses."""
    sent = list[Any]()

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def record(message: Any) -> None:
        sent.append(message)

    app: Any = MiddlewareStack(router, other, [AuditMiddleware(log)], Pace())
    await app(scope("GET", "/", b"", {}) | {"client": client}, receive, record)
    return [message["status"] for message in sent if "status" in message]


class TestMiddleware:
    @pytest.mark.parametrize(
        ("status", "blobs", "expected"),
        [
            (200, (BlobId("films/a"),), [("read", "ok", "films/a", None, 200)]),
            (200, ("films/",), [("read", "ok", None, "films/", 200)]),
            (200, (BlobId("films/a"), BlobId("films/a")), [("read", "ok", "films/a", None, 200)]),
            (404, (BlobId("films/a"),), [("read", "failed", "films/a", None, 404)]),
            (0, (BlobId("films/a"),), [("read", "aborted", "films/a", None, 0)]),
            (200, (BlobId("music/a"),), [("read", "forbidden", "music/a", None, 403)]),
            (
                200,
                (BlobId("films/a"), BlobId("music/a")),
                [("read", "failed", "films/a", None, 403), ("read", "forbidden", "music/a", None, 403)],
            ),
            (200, (), []),
            (404, (), []),
            (401, (), [("authenticate", "forbidden", None, None, 401)]),
            (429, (), []),
        ],
    )
    async def test_requests_are_recorded(
        self, log: AuditLog, path: Path, status: int, blobs: Sequence[BlobId | str], expected: list[object]
    ) -> None:
        await send(log, responding(status, *blobs))
        found = lines(path)
        assert [
            (line["action"], line["outcome"], line.get("id"), line.get("prefix"), line.get("status", 0))
            for line in found
        ] == expected
        for line in found:
            is_known = line["action"] == "read"
            assert (line.get("key"), line.get("client")) == ((FILMS.key_id, None) if is_known else (None, "192.0.2.1"))

    async def test_a_server_that_does_not_know_the_client_is_fine(self, log: AuditLog, path: Path) -> None:
        assert await send(log, responding(401), None) == [401]
        [line] = lines(path)
        assert line["client"] == ""

    async def test_a_request_that_fails_is_recorded(self, log: AuditLog, path: Path) -> None:
        async def fail(_: Exchange) -> None:
            authorize(EVERYTHING, Action.WRITE, BlobId("a"))
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await send(log, fail)
        assert [(line["action"], line["outcome"]) for line in lines(path)] == [("write", "aborted")]
        assert ATTEMPTS.get() is None

    async def test_a_request_that_is_cancelled_is_recorded(self, log: AuditLog, path: Path) -> None:
        async def wait(_: Exchange) -> None:
            authorize(EVERYTHING, Action.WRITE, BlobId("a"))
            waiting.set()
            await asyncio.Event().wait()

        waiting = asyncio.Event()
        sending = asyncio.create_task(send(log, wait))
        await waiting.wait()
        sending.cancel()
        assert [*map(type, await asyncio.gather(sending, return_exceptions=True))] == [asyncio.CancelledError]
        assert [(line["action"], line["outcome"]) for line in lines(path)] == [("write", "aborted")]

    async def test_attempts_in_tasks_and_threads_belong_to_their_request(self, log: AuditLog, path: Path) -> None:
        async def task() -> None:
            authorize(EVERYTHING, Action.LIST, "")
            authorize_some(EVERYTHING, Action.WRITE)  # which records nothing

        async def respond(exchange: Exchange) -> None:
            await asyncio.create_task(task())
            await asyncio.to_thread(authorize, EVERYTHING, Action.DELETE, BlobId("a"))
            await responding(200)(exchange)

        await send(log, respond)
        assert [line["action"] for line in lines(path)] == ["list", "delete"]

    async def test_concurrent_requests_do_not_mix(self, log: AuditLog, path: Path) -> None:
        def between(number: int) -> Responder:
            async def respond(exchange: Exchange) -> None:
                for _ in range(3):
                    authorize(EVERYTHING, Action.READ, BlobId(f"{number}"))
                    await asyncio.sleep(0)
                await responding(200 + number)(exchange)

            return respond

        await asyncio.gather(*(send(log, between(number)) for number in range(20)))
        assert {(int(line["id"]), line["status"] - 200) for line in lines(path)} == {(each, each) for each in range(20)}
        assert len(lines(path)) == 20

    async def test_outside_of_requests_nothing_is_recorded(self, log: AuditLog, path: Path) -> None:
        await send(log, responding(200, "films/"))
        authorize(EVERYTHING, Action.ADMIN, "")
        assert [line["action"] for line in lines(path)] == ["read"]
        assert ATTEMPTS.get() is None

    async def test_a_full_disk_fails_no_request(self) -> None:
        with capture_logs() as logged, opened(FULL) as log:
            for _ in range(3):
                assert await send(log, responding(200, "films/")) == [200]
        assert len(logged) == 1

    async def test_times_do_not_go_back(self, log: AuditLog, path: Path) -> None:
        for _ in range(5):
            await send(log, responding(200, "films/", "films/a/"))
        times = [datetime.fromisoformat(line["time"]) for line in lines(path)]
        assert times == sorted(times)
        assert datetime.now(UTC) - times[0] < timedelta(minutes=1)
