"""Clients of one server, which serves all examples: each begins and ends with no blobs at all."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import httpx
from hypothesis.stateful import RuleBasedStateMachine

from tests.http.server import Server
from tests.model.blobs import Condition, Demand, Version

CLIENTS = 4
META = "x-meta-"


class ClientsMachine(RuleBasedStateMachine):
    """What all machines have: requests, and the entity tags that are known."""

    server: ClassVar[Server]
    http: ClassVar[Sequence[httpx.Client]]

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[Version, str] = {}

    def current(self, blob_id: str) -> Version | None:
        """Return the version that there is by the model."""
        raise NotImplementedError

    def send(self, client: int, method: str, blob_id: str, query: str = "", **given: Any) -> httpx.Response:
        url, extensions = self.target(blob_id, query)
        return self.http[client].request(method, url, extensions=extensions, **given)

    def target(self, blob_id: str, query: str) -> tuple[str, dict[str, Any]]:
        """The path as it is: httpx would take `..` and the like out of it."""
        return "/", {"target": (path_of(blob_id) + query).encode()}

    def fetch(self, client: int, blob_id: str) -> tuple[Version, str] | None:
        """Return a blob as a server sends it, whose parts must fit together, and its tag."""
        answer = self.send(client, "GET", blob_id, "?alt=media")
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        headers = answer.headers
        digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        if "Repr-Digest" in headers or headers["ETag"].endswith('-1"'):  # that of several segments may come later
            assert headers["Repr-Digest"] == f"sha-256=:{digest}:"
        return version_of(answer), headers["ETag"]

    def pages(self, client: int, **query: str | int) -> Iterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            answer = self.http[client].get("/v1/blobs", params=query | {"cursor": cursor})
            assert answer.status_code == 200, answer.text
            yield (page := answer.json())
            cursor = page["next_cursor"]

    # Tags and conditions

    def learn(self, version: Version, tag: str) -> None:
        """A version has one tag, everywhere and always, and no other version has it."""
        assert self.tags.setdefault(version, tag) == tag
        assert len(set(self.tags.values())) == len(self.tags)

    def tag(self, version: Version | None) -> str:
        return '"nobody\'s"' if version is None else self.tags[version]

    def known(self, blob_id: str, number: int) -> Version | None:
        """A version that the client may know of: the current one first, None if it is nobody's."""
        known = [self.current(blob_id), None, *self.tags]
        return known[number % len(known)]

    def condition(self, blob_id: str, demanded: tuple[Demand, int]) -> Condition:
        demand, number = demanded
        return Condition(demand, self.known(blob_id, number) if demand in (Demand.IS, Demand.IS_NOT) else None)

    def demanding(self, condition: Condition) -> dict[str, str]:
        match condition.demand:
            case Demand.NOTHING:
                return {}
            case Demand.IS | Demand.IS_NOT:
                return {condition.demand.value: self.tag(condition.version)}
            case _:
                name, _, value = condition.demand.value.partition(": ")
                return {name: value}


def headers_of(version: Version) -> dict[str, str]:
    """Return the headers of a PUT."""
    headers = {"Content-Type": version.content_type}
    headers |= {f"X-Meta-{name}": quote(value, safe="") for name, value in version.metadata}
    return headers | ({"X-Expires-At": version.expires_at} if version.expires_at else {})


def version_of(answer: httpx.Response) -> Version:
    metadata = {
        name.removeprefix(META): unquote(value) for name, value in answer.headers.items() if name.startswith(META)
    }
    return Version(
        answer.content,
        answer.headers["Content-Type"],
        tuple(sorted(metadata.items())),
        answer.headers.get("X-Expires-At"),
    )


def path_of(blob_id: str) -> str:
    return "/v1/blobs/" + quote(blob_id, safe="")


def clear(http: httpx.Client) -> None:
    """Remove all blobs, the trash and the uploads."""
    assert http.post("/v1/delete", json={"prefix": "", "all": True}).status_code == 200
    while versions := http.get("/v1/trash", params={"limit": 1000}).json()["versions"]:
        for version in versions:
            assert http.delete(f"/v1/trash/{version['key']}").status_code == 204
    while uploads := http.get("/v1/uploads", params={"limit": 1000}).json()["uploads"]:
        for upload in uploads:
            assert http.delete(f"/v1/uploads/{upload['upload']}").status_code == 204
