"""Clients that do to a server whatever comes to Hypothesis's mind, and to a dictionary beside it."""

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.contracts.blob_store import MIB, pattern
from tests.http.wire import AUTH, request
from tests.ids import NASTY
from tests.model.blobs import Change, Delete, Demand, Post, Put, Version, in_some_order, listed
from tests.model.clients import CLIENTS, ClientsMachine, headers_of, path_of

IDS = ["a", "a/", "/a", "a/b", "a//b", "A", "á", "..", "../a", "%2e%2e/", "%00", "a b", "☺☺☺", "\U0010ffff", "x" * 2048]
assert set(IDS) <= set(NASTY)
TO_BE_READ_ON = Version(pattern(6 * MIB))  # more than what waits in sockets, and more than a part on S3
NEVER = "Sat, 01 Jan 2000 00:00:00 GMT"

ids = st.sampled_from(IDS)
clients = st.integers(0, CLIENTS - 1)
contents = st.builds(
    lambda size, salt: (b"%d" % salt + pattern(size))[:size],
    st.sampled_from([0, 1, 100, 70_000, 1_200_000]),
    st.integers(0, 2),
)
types = st.sampled_from(["application/octet-stream", "text/plain", "image/png"])
METADATA = [(), (), (("a", "1"),), (("a", " %2e "), ("b-c", "naïve ☺"))]
metadata = st.sampled_from(METADATA)
times = st.sampled_from([None, None, "2100-01-31T12:00:00Z"])
versions = st.builds(Version, contents, types, metadata, times)
# Nothing that is drawn depends on what was answered: of a race, nobody knows.
numbers = st.integers(0, 9)
kinds = st.sampled_from([Post, Put, Delete])
demands = st.tuples(st.sampled_from(Demand), numbers)
bytes_of_it = st.sampled_from([(0, 0), (0, 9), (50, 99), (50, 10**9), (69_999, 70_000), (10**9, None), (1, None)])


class Machine(ClientsMachine):
    """One server serves all examples: each begins and ends with no blobs at all."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, Version] = {}

    def current(self, blob_id: str) -> Version | None:
        return self.blobs.get(blob_id)

    # Changes

    @rule(client=clients, blob_id=ids, data=contents)
    def post(self, client: int, blob_id: str, data: bytes) -> None:
        self.change(client, blob_id, Post(Version(data)))

    @rule(client=clients, blob_id=ids, version=versions, demanded=demands, in_chunks=st.booleans())
    def put(self, client: int, blob_id: str, version: Version, demanded: tuple[Demand, int], in_chunks: bool) -> None:
        self.change(client, blob_id, Put(version, self.condition(blob_id, demanded)), in_chunks=in_chunks)

    @rule(client=clients, blob_id=ids, demanded=demands)
    def delete(self, client: int, blob_id: str, demanded: tuple[Demand, int]) -> None:
        self.change(client, blob_id, Delete(self.condition(blob_id, demanded)))

    @rule(blob_id=ids, wishes=st.lists(st.tuples(kinds, versions, demands), min_size=1, max_size=CLIENTS - 1))
    def race(self, blob_id: str, wishes: list[tuple[type[Change], Version, tuple[Demand, int]]]) -> None:
        """Changes made at once, and a look meanwhile: all must be as if made in some order."""
        changes = [self.wished(blob_id, *wish) for wish in wishes]
        before = self.blobs.get(blob_id)
        with ThreadPoolExecutor(CLIENTS) as threads:
            looking = threads.submit(self.see, CLIENTS - 1, blob_id)
            asking = [threads.submit(self.ask, number, blob_id, each) for number, each in enumerate(changes)]
            statuses = tuple(asked.result().status_code for asked in asking)
            seen = looking.result()
        after = self.see(0, blob_id)
        assert (statuses, after) in list(in_some_order(changes, before))
        assert seen in (before, None, *(each.version for each in changes if not isinstance(each, Delete)))
        self.note(blob_id, after)

    @rule(blob_id=ids, data=contents, many=st.integers(2, CLIENTS))
    def create_at_once(self, blob_id: str, data: bytes, many: int) -> None:
        posts = [Post(Version(b"%d" % number + data)) for number in range(many)]
        before = self.blobs.get(blob_id)
        with ThreadPoolExecutor(many) as threads:
            statuses = [asked.status_code for asked in threads.map(self.ask, range(many), [blob_id] * many, posts)]
        assert statuses.count(201) == (0 if before else 1), statuses
        self.note(blob_id, before or posts[statuses.index(201)].version)
        self.look(0, blob_id)

    # Changes that fail

    @rule(client=clients, blob_id=ids, version=versions)
    def put_with_another_digest(self, client: int, blob_id: str, version: Version) -> None:
        headers = {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
        answer = self.send(client, "PUT", blob_id, content=version.data, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
        self.look(client, blob_id)

    @rule(
        client=clients,
        blob_id=ids,
        sent=contents,
        length=st.sampled_from(["Content-Length: 2000000", "Transfer-Encoding: chunked"]),
    )
    def break_off_an_upload(self, client: int, blob_id: str, sent: bytes, length: str) -> None:
        body = sent if length.startswith("Content") else b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b""
        with self.server.connect() as connection:
            connection.sendall(request(f"PUT {path_of(blob_id)}", f"{AUTH}{length}\r\n", body))
        self.look(client, blob_id)

    # Looks

    @rule(client=clients, blob_id=ids)
    def get_json(self, client: int, blob_id: str) -> None:
        answer, version = self.send(client, "GET", blob_id), self.blobs.get(blob_id)
        if version is None:
            assert answer.status_code == 404
        else:
            body = answer.json()
            assert (body["id"], base64.b64decode(body["data"]), body["size"]) == (
                blob_id,
                version.data,
                len(version.data),
            )
            seconds = int(datetime.fromisoformat(body["created_at"]).timestamp())
            assert answer.headers["ETag"] == self.tags[version].removesuffix('"') + f'.{seconds}-json"'

    @rule(client=clients, blob_id=ids)
    def get_bytes(self, client: int, blob_id: str) -> None:
        assert self.see(client, blob_id) == self.blobs.get(blob_id)

    @rule(client=clients, blob_id=ids, part=bytes_of_it, number=st.none() | numbers)
    def get_a_range(self, client: int, blob_id: str, part: tuple[int, int | None], number: int | None) -> None:
        """Perhaps on condition that it is still the version of which the client has a part."""
        first, last = part
        known = None if number is None else self.known(blob_id, number)
        headers = {"Range": f"bytes={first}-{'' if last is None else last}"}
        if number is not None:
            headers["If-Range"] = self.tag(known)
        answer, version = self.send(client, "GET", blob_id, "?alt=media", headers=headers), self.blobs.get(blob_id)
        if version is None:
            assert answer.status_code == 404
        elif number is not None and known != version:
            assert (answer.status_code, answer.content) == (200, version.data)
        elif first >= len(version.data):
            assert answer.status_code == 416
        else:
            wanted = version.data[first : None if last is None else last + 1]
            assert (answer.status_code, answer.content) == (206, wanted)
            assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(version.data)}"

    @rule(client=clients, method=st.sampled_from(["GET", "HEAD"]), blob_id=ids, number=numbers)
    def get_what_is_new(self, client: int, method: str, blob_id: str, number: int) -> None:
        version = self.blobs.get(blob_id)
        known = self.known(blob_id, number)
        answer = self.send(client, method, blob_id, "?alt=media", headers={"If-None-Match": self.tag(known)})
        assert answer.status_code == (404 if version is None else 304 if known == version else 200)
        if version is not None:
            headers = {"If-Modified-Since": NEVER}
            assert self.send(client, method, blob_id, "?alt=media", headers=headers).status_code == 200

    @rule(client=clients, blob_id=ids, old=versions, new=versions, deleted=st.booleans())
    def rely_on_the_date_of_the_version_before(
        self, client: int, blob_id: str, old: Version, new: Version, deleted: bool
    ) -> None:
        """It holds for nothing that came later, however soon that was."""
        self.change(client, blob_id, Put(old))
        date = self.send(client, "HEAD", blob_id, "?alt=media").headers["Last-Modified"]
        if deleted:
            self.change(client, blob_id, Delete())
        self.change(client, blob_id, Put(new))
        since = {"If-Unmodified-Since": date}
        assert self.send(client, "PUT", blob_id, content=b"lost", headers=since).status_code == 412
        assert self.send(client, "DELETE", blob_id, headers=since).status_code == 412
        assert self.send(client, "GET", blob_id, headers={"If-Modified-Since": date}).status_code == 200
        answer = self.send(client, "GET", blob_id, "?alt=media", headers={"Range": "bytes=1-", "If-Range": date})
        assert (answer.status_code, answer.content) == (200, new.data)

    @rule(client=clients, blob_id=ids, by=clients, new=st.none() | versions)
    def read_on_while_it_changes(self, client: int, blob_id: str, by: int, new: Version | None) -> None:
        """All of it is of the version that was there when the reading began."""
        self.change(by, blob_id, Put(TO_BE_READ_ON))
        change = Put(new) if new else Delete()
        url, extensions = self.target(blob_id, "?alt=media")
        with self.http[client].stream("GET", url, extensions=extensions) as answer:
            chunks = answer.iter_raw()
            read = [next(chunks)]
            self.change((client + 1) % CLIENTS, blob_id, change)
            read += chunks
        assert b"".join(read) == TO_BE_READ_ON.data

    @rule(
        client=clients,
        prefix=st.sampled_from(["", "a", "a/", "%", "x", "\U0010ffff", "nobody's"]),
        delimiter=st.sampled_from(["", "/", "%", "a"]),
        limit=st.sampled_from([1, 2, 3, 1000]),
    )
    def list_some(self, client: int, prefix: str, delimiter: str, limit: int) -> None:
        pages = [*self.pages(client, prefix=prefix, delimiter=delimiter, limit=limit)]
        blobs = [blob["id"] for page in pages for blob in page["blobs"]]
        prefixes = [each for page in pages for each in page["prefixes"]]
        assert (blobs, prefixes) == listed([*self.blobs], prefix, delimiter)
        assert {len(page["blobs"]) + len(page["prefixes"]) for page in pages[:-1]} <= {limit}

    # And beside

    @rule(number=st.integers(0, 9))
    def restart(self, number: int) -> None:
        """Seldom, for it takes long."""
        if number == 9:
            assert self.server.stop() == 0
            self.server.__enter__()

    def teardown(self) -> None:
        """The server has what the dictionary has, and no more."""
        try:
            listed = {blob["id"]: blob for page in self.pages(0, limit=1000) for blob in page["blobs"]}
            assert listed.keys() == self.blobs.keys()
            for blob_id, version in self.blobs.items():
                assert self.see(0, blob_id) == version
                assert listed[blob_id]["sha256"] == hashlib.sha256(version.data).hexdigest()
                assert listed[blob_id]["etag"] == self.tags[version]
        finally:
            for page in [*self.pages(0, limit=1000)]:
                for blob in page["blobs"]:
                    assert self.send(0, "DELETE", blob["id"]).status_code == 204
            assert [*self.pages(0)] == [{"blobs": [], "prefixes": [], "next_cursor": None}]

    # How it is asked

    def change(self, client: int, blob_id: str, change: Change, *, in_chunks: bool = False) -> None:
        """Make a change, which must have its outcome; and look at it with another client."""
        status, after = change.outcome(self.blobs.get(blob_id))
        answer = self.ask(client, blob_id, change, in_chunks=in_chunks)
        assert answer.status_code == status, answer.text
        self.note(blob_id, after)
        if answer.is_success and after is not None:
            self.learn(after, answer.headers["ETag"])
        self.look((client + 1) % CLIENTS, blob_id)

    def note(self, blob_id: str, version: Version | None) -> None:
        if version is None:
            self.blobs.pop(blob_id, None)
        else:
            self.blobs[blob_id] = version

    def ask(self, client: int, blob_id: str, change: Change, *, in_chunks: bool = False) -> httpx.Response:
        match change:
            case Post():
                body = {"id": blob_id, "data": base64.b64encode(change.version.data).decode()}
                return self.http[client].post("/v1/blobs", json=body)
            case Put():
                data = change.version.data
                headers = headers_of(change.version) | self.demanding(change.condition)
                return self.send(client, "PUT", blob_id, content=halves(data) if in_chunks else data, headers=headers)
            case Delete():
                return self.send(client, "DELETE", blob_id, headers=self.demanding(change.condition))

    def see(self, client: int, blob_id: str) -> Version | None:
        fetched = self.fetch(client, blob_id)
        if fetched is None:
            return None
        self.learn(*fetched)
        return fetched[0]

    def look(self, client: int, blob_id: str) -> None:
        """The short look: the response to HEAD."""
        answer, version = self.send(client, "HEAD", blob_id, "?alt=media"), self.blobs.get(blob_id)
        assert answer.status_code == (404 if version is None else 200)
        if version is not None:
            described = (int(answer.headers["Content-Length"]), answer.headers["Content-Type"])
            assert described == (len(version.data), version.content_type)
            self.learn(version, answer.headers["ETag"])

    def wished(self, blob_id: str, kind: type[Change], version: Version, demanded: tuple[Demand, int]) -> Change:
        if kind is Post:
            return Post(Version(version.data))
        condition = self.condition(blob_id, demanded)
        return Put(version, condition) if kind is Put else Delete(condition)


def halves(data: bytes) -> Iterator[bytes]:
    """In chunks, of which httpx does not know the length."""
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]
