"""The four cases that the first of Drivebay's source documents names, against a real server."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.server import Server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    token = "76134SBNVDSDHGWF25462567523"
    folder = tmp_path_factory.mktemp("first")
    with Server(folder, AUTH_BEARER_TOKEN="", SECRET_KEY=token) as server, server.client(token) as client:
        yield client


def test_http_store_and_retrieve_binary_blob(client: httpx.Client) -> None:
    stored = client.post("/v1/blobs", json={"id": "my-unique-blob-id", "data": "SGVsbG8gV29ybGQh"})
    assert stored.status_code == 201
    assert stored.json()["message"] == "Blob stored successfully"
    fetched = client.get("/v1/blobs/my-unique-blob-id")
    assert fetched.status_code == 200
    assert fetched.json() == {
        "id": "my-unique-blob-id",
        "data": "SGVsbG8gV29ybGQh",
        "size": 12,
        "created_at": stored.json()["created_at"],
    }


def test_retrieve_nonexistent_blob(client: httpx.Client) -> None:
    response = client.get("/v1/blobs/nobody-stored-this")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_store_blob_invalid_token(client: httpx.Client) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    response = client.post("/v1/blobs", json={"id": "a", "data": "AAAA"}, headers=wrong)
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert client.get("/v1/blobs/a").status_code == 404


def test_store_blob_invalid_base64(client: httpx.Client) -> None:
    response = client.post("/v1/blobs", json={"id": "b", "data": "not base64!"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_base64")
    assert client.get("/v1/blobs/b").status_code == 404
