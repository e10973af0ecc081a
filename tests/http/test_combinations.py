"""The whole product on every database with every storage, and from each storage to the next."""

import base64
from pathlib import Path

import pytest

from tests.backends.run import Backends
from tests.contracts.blob_store import MIB, pattern
from tests.http.combinations import ALL, Combination
from tests.http.server import Server

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("combination", [combination.param for combination in ALL])
def test_blobs_stay_as_they_are_when_the_storage_is_changed(
    combination: Combination, backends: Backends, tmp_path: Path
) -> None:
    answers: dict[str, bytes] = {}
    with combination.settings(backends) as settings:
        for storage, workers in ((combination.storage, "2"), (combination.next_storage, "1")):
            server = Server(tmp_path, **settings | {"STORAGE": storage, "WORKERS": workers})
            with server, server.client() as client:
                hello = f'{{"id":"{storage}/k5","data":"SGVsbG8gV29ybGQh"}}'
                assert client.post("/v1/blobs", content=hello, headers=JSON).status_code == 201
                for size in (0, 9 * MIB):  # the latter in more than one part, chunk or piece
                    blob = {"id": f"{storage} {size}", "data": base64.b64encode(pattern(size)).decode()}
                    assert client.post("/v1/blobs", json=blob).status_code == 201
                    assert client.post("/v1/blobs", json=blob | {"data": ""}).status_code == 409
                    fetched = client.get(f"/v1/blobs/{blob['id']}")
                    assert fetched.json()["data"] == blob["data"]
                    answers[blob["id"]] = fetched.content
                answers[f"{storage}%2Fk5"] = client.get(f"/v1/blobs/{storage}%2Fk5").content
                assert b'"data":"SGVsbG8gV29ybGQh","size":12,' in answers[f"{storage}%2Fk5"]
                assert client.get("/v1/blobs/nobodys").status_code == 404
                assert client.get("/health/ready").status_code == 200
                assert {name: client.get(f"/v1/blobs/{name}").content for name in answers} == answers
            assert "error" not in {line["level"] for line in server.log()}
