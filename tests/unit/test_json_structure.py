"""Bounds on what the JSON text of a commit may hold."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.blobs.changes import CommitBody, commit_structure
from entrypoints.http.rest.blobs.zip import MAX_BODY, zip_blobs
from entrypoints.http.rest.described import HttpRequest
from entrypoints.http.rest.json_bodies import json_body
from entrypoints.http.rest.json_structure import JsonStructure
from tests.asgi import scope

CHUNK = 64 * 1024
CONFUSING = '{,"\\{\\",}\\\\"' * 5
texts = st.text(st.sampled_from('{,}[]"\\ab\u00e9\u2028'), max_size=8)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


class Sender:
    """A client that sends a body in chunks, as far as they are read."""

    def __init__(self, body: bytes) -> None:
        self.chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]

    async def receive(self) -> Any:
        return {"type": "http.request", "body": self.chunks.pop(0), "more_body": bool(self.chunks)}

    async def commit(self) -> CommitBody:
        request = self._request("/v1/commits")
        return await json_body(request, Pace(10, 0), CommitBody, limit=32 * 1024 * 1024, structure=commit_structure())

    async def zip(self) -> object:
        collect: Any = None
        return await zip_blobs.fn(self._request("/v1/zip"), collect, Pace(10, 0))

    def _request(self, path: str) -> HttpRequest:
        headers = {"content-type": "application/json", "transfer-encoding": "chunked"}
        asked: Any = scope("POST", path, b"", headers)
        return HttpRequest(asked, self.receive)


def counts(value: object) -> tuple[int, int]:
    """The objects and the commas of a value in JSON."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [counts(each) for each in (value.values() if isinstance(value, dict) else value)]
    objects, commas = (sum(of_each) for of_each in zip(*inner, strict=True)) if inner else (0, 0)
    return objects + isinstance(value, dict), commas + max(len(value) - 1, 0)


def fits(chunks: list[bytes], objects: int, commas: int) -> bool:
    structure = JsonStructure(objects, commas, "too many")
    try:
        for chunk in chunks:
            structure.feed(chunk)
    except HttpProblem:
        return False
    return True


@given(value=values, is_ascii=st.booleans(), data=st.data())
def test_objects_and_commas_count_outside_of_strings(value: object, is_ascii: bool, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii).encode()
    cut = data.draw(st.integers(0, len(text)))
    objects, commas = counts(value)
    for chunks in ([text], [text[:cut], text[cut:]], [text[at : at + 1] for at in range(len(text))]):
        assert fits(chunks, objects, commas)
        assert not fits(chunks, objects - 1, commas)
        assert not fits(chunks, objects, commas - 1)


@pytest.mark.parametrize("is_ascii", [True, False])
async def test_a_commit_of_as_many_operations_as_there_may_be(is_ascii: bool) -> None:
    metadata = {f"{number:02}{CONFUSING}": f"\u00e9{CONFUSING}" for number in range(99)}
    operations = [{"patch": {"id": f"{number}{CONFUSING}", "metadata": metadata}} for number in range(1000)]
    text = json.dumps({"operations": operations}, ensure_ascii=is_ascii).encode()
    assert 20 * CHUNK < len(text) < 32 * 1024 * 1024
    assert await Sender(text).commit() == msgspec.json.decode(text, type=CommitBody)


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        ('{"operations":[', "{},"),
        ('{"operations":[', '{"delete":{"id":"a"}},'),
        ('{"operations":[{"put":{"parts":[', "1,"),
        ('{"operations":[{"patch":{"metadata":{', '"":"",'),
        ('{"operations":[{"patch":{"metadata":{"\\\\":"\\"",', '"":"",'),
    ],
)
async def test_too_many_are_refused_before_they_are_read(start: str, unit: str) -> None:
    sender = Sender((start + unit * (32_000_000 // len(unit))).encode())
    with pytest.raises(HttpProblem, match=r"up to 1,000 operations, with up to 200,000 members") as refused:
        await sender.commit()
    assert refused.value.code == "too_large"
    assert len(sender.chunks) > 400  # of 489


@pytest.mark.parametrize("start", ['{"ids":[', '{"folder":"","ids":[],"prefixes":['])
async def test_a_selection_of_too_many_is_refused_before_it_is_read(start: str) -> None:
    sender = Sender((start + '"a",' * (MAX_BODY // 4 - 20)).encode())
    with pytest.raises(HttpProblem, match="Name 1 to 10,000 ids and prefixes") as refused:
        await sender.zip()
    assert refused.value.code == "too_large"
    assert len(sender.chunks) > 120  # of 128
