"""Values made to keep a parser busy: none takes time that grows faster than its length.

A request can't be interrupted while a value is parsed, so one that takes seconds stops a whole worker.
"""

import ast
import itertools
import re
import re._constants as opcodes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest

from domain.errors import BlobError
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.app import create_asgi
from entrypoints.http.middleware.tracing import carried
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.json_form.scanner import MAX_FRAME, Scanner
from entrypoints.http.rest.multipart_form.scanner import FormScanner
from entrypoints.http.rest.scanned_bodies import BodyScanner
from entrypoints.telemetry.tracing import PROPAGATOR
from tests.asgi import Unslowed, serving
from tests.deadline import ATTEMPTS, DeadlinePassedError, in_time

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("domain", "application", "entrypoints/http") for path in sorted((ROOT / folder).rglob("*.py"))
] + [ROOT / "entrypoints/config/values.py"]
S3 = ROOT / "entrypoints/http/s3"  # has its own list of headers, in test_s3_hostile_values
SECONDS = 2.0  # of the processor, for one value; each takes a few milliseconds

# Headers that the interface reads, and the beginnings of their values.
HEADERS: dict[str, list[str]] = {
    "access-control-request-headers": [],  # only read in preflights
    "accept": ["", "application/json;", "*/*;q=0.5,"],
    "accept-encoding": ["", "gzip;", "gzip;q=0.5,"],
    "authorization": ["Bearer "],
    "cache-control": ["", "max-age=1"],
    "content-digest": ["", "sha-256=", "sha-256=:AAAA:"],
    "content-encoding": ["", "gzip", "gzip,"],
    "content-disposition": ["", "attachment", "attachment; a="],
    "content-language": ["", "en", "en,"],
    "content-length": [],  # the HTTP server takes digits only, of 64 bits
    "content-range": ["bytes "],
    "content-type": ["", "text/plain", "text/plain;"],
    "cookie": ["", "drivebay_session=", f"drivebay_session={'a' * 16}.1."],
    "expect": [""],
    "host": ["", "["],
    "if-match": ["", '"a"', 'W/"a"'],
    "if-modified-since": ["", "Sat, ", "Sat Oct "],
    "if-none-match": ["", '"a"', 'W/"a"'],
    "if-range": ["", '"a"'],
    "if-unmodified-since": ["", "Sat, ", "Sat Oct "],
    "origin": ["http://", "null"],
    "range": ["bytes", "bytes=", "bytes=0-"],
    "repr-digest": ["", "sha-256=:"],
    "trailer": ["", "upload-checksum,"],
    "transfer-encoding": [""],
    "sec-fetch-dest": [],  # only compared
    "sec-fetch-site": [],
    "tus-resumable": ["", "1.0.0"],
    "upload-checksum": ["", "sha1 ", "sha1 AAAA"],
    "upload-concat": ["", "partial", "final;", "final;/v1/tus/"],
    "upload-defer-length": ["", "1"],
    "upload-metadata": ["", "filename ", "filename YQ==,", "if-match ", "a YQ=="],
    "upload-complete": ["", "?1;a", '?1;a="', "?1;a=:"],
    "upload-draft-interop-version": ["", "6;a"],
    "upload-length": ["", "1", "1;a"],
    "upload-offset": [],  # as the length
    "x-expires-at": ["", "2030-01-31T12:00:00"],
    "x-expires-in": ["", "1"],
    "x-http-method-override": ["", "PATCH"],
    "x-meta-a": ["", "%C3"],
    "x-forwarded-proto": ["", "https,"],
    "x-request-id": [""],
}
OF_PARTS = {"content-disposition", "content-transfer-encoding"}  # of forms, see TestBodies
# The sources read these by names that are constants.
BY_CONSTANT = {
    "accept-encoding",
    "sec-fetch-dest",
    "sec-fetch-site",
    "x-expires-at",
    "x-expires-in",
    "x-http-method-override",
    "x-meta-a",
}
OF_BODIES = {
    "cache-control",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "expect",
    "repr-digest",
    "transfer-encoding",
    "upload-complete",
    "upload-draft-interop-version",
    "upload-length",
    "x-expires-at",
    "x-expires-in",
    "x-meta-a",
}
OF_TUS = {"trailer", "tus-resumable", "x-http-method-override", *(name for name in HEADERS if name[:7] == "upload-")}
UNITS = [
    *(" ", "\t", ",", ", ", " ,", '"', '""', '"a",', '"a" ', ' ,""', "W/", ";", "; ", ";q=", ";q=0.", "=", " =", ":"),
    *("::", "-", " -", "0", "0-", "a", "a/", "/", "\\", '\\"', "%", "%0", "%41", "(", "[", "&", "&a=", "+", ".", "é"),
]
ENDS = ["", "!"]
SIZES = [90, 100_000]  # characters; the HTTP server takes heads of up to 400 KiB
# Modules that may use regular expressions at all, and how.
PATTERNS = {
    "application.access.authenticate",
    "application.access.keys",
    "application.access.sessions",
    "application.access.shares",
    "application.ports.file_times",
    "domain.blob",
    "domain.buckets",
    "domain.properties",
    "domain.text",
    "entrypoints.config.values",
    "entrypoints.http.protocol.urls.signed_urls",
    "entrypoints.http.protocol.urls.upload_urls",
    "entrypoints.http.rest.json_form.base64_text",
    "entrypoints.http.rest.json_form.scanner",
    "entrypoints.http.rest.blobs.zip_form.names",
    "entrypoints.http.s3.buckets.acls",
    "entrypoints.http.s3.bodies.aws_chunked",
    "entrypoints.http.s3.bodies.body",
    "entrypoints.http.s3.buckets.settings",
    "entrypoints.http.s3.buckets.buckets",
    "entrypoints.http.s3.multipart.part_copies",
    "entrypoints.http.s3.auth.post_policy",
    "entrypoints.http.s3.auth.credentials",
    "entrypoints.http.s3.auth.payloads",
    "entrypoints.http.s3.auth.signatures",
    "entrypoints.http.s3.auth.signatures_v2",
    "entrypoints.http.s3.xml",
}


def hostile(beginnings: list[str], units: Iterable[str] = UNITS) -> Iterator[str]:
    for beginning, unit, end, size in itertools.product(beginnings, units, ENDS, SIZES):
        yield beginning + unit * (size // len(unit)) + end


class TestHeaders:
    @pytest.mark.parametrize("name", sorted(OF_TUS))
    async def test_a_value_of_tus_is_parsed_in_time(self, name: str) -> None:
        rest = {"tus-resumable": "1.0.0"} | ({} if name == "upload-concat" else {"upload-length": "1"})
        values = hostile(HEADERS[name])
        await App().ask("POST", ((b"/v1/tus", {**rest, name: value}) for value in values))

    @pytest.mark.parametrize("name", [name for name in HEADERS if HEADERS[name] and name not in OF_TUS])
    async def test_a_value_is_parsed_in_time(self, name: str) -> None:
        # A PUT takes no parameters: with one it would be refused before its headers are read.
        method, target = ("PUT", b"/v1/blobs/hostile") if name in OF_BODIES else ("GET", b"/v1/blobs/hostile?alt=media")
        target = b"/" if name == "accept-encoding" else target  # of the page
        await App().ask(method, ((target, {name: value}) for value in hostile(HEADERS[name])))

    @pytest.mark.parametrize("beginning", ["signature=", "key=a&signature=", "key=&expires=1&signature=", "prefix="])
    async def test_signed_urls(self, beginning: str) -> None:
        end = f"&key={'a' * 16}&expires=1&signature={'0' * 64}"
        queries = ((value + end).encode("latin-1") for value in hostile([beginning]))
        await App().ask("GET", ((b"/v1/blobs/hostile?" + query, {}) for query in queries))

    async def test_preflights(self) -> None:
        preflight = {"origin": "http://app.example", "access-control-request-method": "PUT"}
        asked = (preflight | {"access-control-request-headers": value} for value in hostile(["", "authorization,"]))
        await App().ask("OPTIONS", ((b"/v1/blobs/hostile", headers) for headers in asked))

    def test_the_list_is_complete(self) -> None:
        read = {name for path in SOURCES if not path.is_relative_to(S3) for name in headers_read(path)}
        assert read == (HEADERS.keys() - BY_CONSTANT) | OF_PARTS

    def test_the_trace_of_a_client(self) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        for value in hostile(["", "a=b", "a=b,"]):
            for attempt in in_time(SECONDS):
                with attempt:
                    headers = {"traceparent": trace, "tracestate": value}
                    PROPAGATOR.extract(carried([(n.encode(), v.encode("latin-1")) for n, v in headers.items()]))
                    PROPAGATOR.extract(carried([(b"traceparent", f"{trace}-{value}".encode("latin-1"))]))


class TestTargets:
    async def test_ids(self) -> None:
        await App().ask("GET", ((b"/v1/blobs/" + value.encode(), {}) for value in hostile([""])))

    @pytest.mark.parametrize("path", [b"/v1/blobs", b"/v1/blobs/hostile"])
    async def test_queries(self, path: bytes) -> None:
        beginnings = ["", "prefix=", "limit=1", "cursor=YQ", "alt="]
        await App().ask("GET", ((path + b"?" + value.encode(), {}) for value in hostile(beginnings)))

    async def test_other_paths(self) -> None:
        await App().ask("GET", ((value.encode(), {}) for value in hostile(["/", "/docs/", "/docs/files/", "//"])))


class TestBodies:
    @pytest.mark.parametrize(
        "beginning", ["", "{", '{"id":"', '{"id":"a","data":"', '{"id":"a","data":""', '{"(byte 1']
    )
    def test_json_whole_and_in_small_chunks(self, beginning: str) -> None:
        for value in hostile([beginning]):
            body = value.encode()
            for attempt in in_time(SECONDS):
                with attempt:
                    scan([body])
                    scan([body[start : start + 500] for start in range(0, MAX_FRAME, 500)])

    @pytest.mark.parametrize(
        "beginning",
        ["", "--b\r\n", "--b\r\nContent-Disposition:", '--b\r\nContent-Disposition: form-data; name="', "--b\r\na:"],
    )
    def test_forms_whole_and_in_small_chunks(self, beginning: str) -> None:
        for value in hostile([beginning]):
            for body in (value.encode(), f"{value}\r\n\r\n".encode()):
                for attempt in in_time(SECONDS):
                    with attempt:
                        scan([body], FormScanner("b"))
                        scan([body[start : start + 100] for start in range(0, MAX_FRAME, 100)], FormScanner("b"))

    async def test_boundaries(self) -> None:
        beginning = "multipart/form-data; boundary="
        types = ({"content-type": value, "content-length": "1"} for value in hostile([beginning, f'{beginning}"']))
        await App().ask("POST", ((b"/v1/blobs", headers) for headers in types))


class TestRegularExpressions:
    def test_few_modules_use_them(self) -> None:
        users = {
            path for path in SOURCES if re.search(r"^(import re\b|from re import)", path.read_text(), re.MULTILINE)
        }
        assert {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in users} == PATTERNS

    @pytest.mark.parametrize("module", sorted(PATTERNS))
    def test_they_are_compiled_where_they_can_be_seen(self, module: str) -> None:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        used = set(_attributes_of_re(ast.parse(source)))
        assert used <= {"compile", "Match", "DOTALL", "ASCII"}

    @pytest.mark.parametrize("module", sorted(PATTERNS))
    def test_none_can_backtrack(self, module: str) -> None:
        patterns = [each for each in vars(import_module(module)).values() if isinstance(each, re.Pattern)]
        assert patterns
        for pattern in patterns:
            assert _backtracking(parser.parse(pattern.pattern, pattern.flags & re.DOTALL)) == [], pattern.pattern

    @pytest.mark.parametrize("pattern", [r"a*", r"a{1,9}b", r"(a|ab)*+c?", r"x(?:\s*,)*?y"])
    def test_the_test_sees_one_that_can(self, pattern: str) -> None:
        assert _backtracking(parser.parse(pattern)) != []


class Attempts:
    """Work that is slow a few times, with a limit. Counts the attempts."""

    def __init__(self, work: Callable[[], object], slow: int = ATTEMPTS) -> None:
        self.count = 0
        self._work = work
        self._slow = slow

    def run(self, seconds: float) -> None:
        for attempt in in_time(seconds):
            self.count += 1
            with attempt:
                if self.count <= self._slow:
                    self._work()


def busy() -> None:
    """Take 0.2 s of the processor. It asks for that seldom: what the kernel does for it does not count."""
    start = getrusage(RUSAGE_SELF).ru_utime
    while getrusage(RUSAGE_SELF).ru_utime - start < 0.2:
        for _ in range(10_000):
            pass


def test_the_limit_interrupts_a_pattern() -> None:
    attempts = Attempts(lambda: re.fullmatch(r'"a"(?:\s*,\s*(?:"a")?)*\s*', '"a"' + " , " * 40 + "!"))
    with pytest.raises(DeadlinePassedError):
        attempts.run(0.01)
    assert attempts.count == 1


def test_work_that_is_slow_each_time_is_found() -> None:
    with pytest.raises(DeadlinePassedError):
        Attempts(busy).run(0.1)


@pytest.mark.parametrize("slow", range(ATTEMPTS))
def test_work_that_is_quick_once_is_quick(slow: int) -> None:
    attempts = Attempts(busy, slow)
    attempts.run(0.1)
    assert attempts.count == slow + 1


def scan(chunks: list[bytes], scanner: BodyScanner | None = None) -> None:
    scanner = scanner or Scanner()
    try:
        for chunk in chunks:
            scanner.feed(chunk)
        scanner.end()
    except Exception as refusal:
        if not isinstance(refusal, HttpProblem | BlobError):
            raise


def headers_read(path: Path) -> Iterator[str]:
    """The names of headers in a module's source: constants that are looked up in headers, or compared with names."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                ast.Attribute(ast.Name("headers") | ast.Attribute(attr="headers"), "get" | "getall"), [key, *_]
            ):
                yield from constants(key)
            case ast.Compare(key, [ast.In() | ast.NotIn()], [ast.Name("headers") | ast.Attribute(attr="headers")]):
                yield from constants(key)
            case ast.Compare(ast.Name("name" | "header"), [ast.Eq()], [key]):
                yield from constants(key)
            case ast.Subscript(ast.Name("headers"), key):
                yield from constants(key)


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes | str):
        yield (node.value.decode() if isinstance(node.value, bytes) else node.value).lower()


def _attributes_of_re(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("re"), name):
                yield name


def _backtracking(tree: Any) -> list[str]:
    """The repetitions in a pattern that give characters back. Those of a fixed count, and possessive ones, do not."""
    found = []
    for operation, argument in tree:
        if operation in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT):
            least, most, _ = argument
            found += [f"{least} to {most}"] if least != most else []
        for part in argument if isinstance(argument, tuple | list) else [argument]:
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, parser.SubPattern):
                    found += _backtracking(inner)
    return found


def _unslowed(container: Container) -> None:
    container.failed_authentications.override(Unslowed())


class App:
    """The application, without a server, asked for one thing after another."""

    def __init__(self) -> None:
        token = hashed("token")
        settings = Settings(storage="memory", tokens=(token,), cors_origins=("*",))
        self._app = create_asgi(settings, _unslowed)

    async def ask(self, method: str, asked: Iterable[tuple[bytes, dict[str, str]]]) -> None:
        """Ask for each target, with its headers. Fails if a response takes too much of the processor."""
        async with serving(self._app):
            await self._ask("PUT", b"/v1/blobs/hostile", {})  # conditions are read where there is a blob
            for target, headers in asked:
                await self._ask(method, target, headers)

    async def _ask(self, method: str, target: bytes, headers: dict[str, str]) -> None:
        path, _, query = target.partition(b"?")
        has_own = b"signature=" in query or "cookie" in headers
        credentials = {} if has_own else {"authorization": "Bearer token"}
        given = {"host": "test"} | credentials | headers
        if method == "PUT":
            given["content-length"] = "1"
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x", "more_body": False}

        async def send(_: dict[str, Any]) -> None:
            pass

        for attempt in in_time(SECONDS):
            with attempt:
                await self._app(scope, receive, send)  # type: ignore[arg-type]
