"""The audit trail, and the delay of repeated failures to authenticate."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from application.access.failures import FREE
from tests.http.s3_client import key_pair, s3_client
from tests.http.server import Server


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def use(server: Server) -> str:
    """Send some requests, with a limited key too. Return the id of that key."""
    with server.client() as client:
        client.put("/v1/blobs/films/a", content=b"x", headers={"X-Request-ID": "the-put"})
        key = client.post("/v1/keys", json={"name": "ci", "actions": ["read"], "prefixes": ["films/"]}).json()
        operations = [{"copy": {"from": "films/a", "to": "films/b"}}, {"delete": {"id": "films/c"}}]
        client.post("/v1/commits", json={"operations": operations}, headers={"X-Request-ID": "the-commit"})
    with server.client(key["token"]) as limited:
        limited.get("/v1/blobs/films/a", headers={"X-Request-ID": "a-get"})
        limited.get("/v1/blobs/music/a", headers={"X-Request-ID": "a-refusal"})
    with server.client("wrong-token") as nobody:
        nobody.get("/v1/blobs/films/a", headers={"X-Request-ID": "a-guess"})
    key_id: str = key["key"]
    return key_id


@pytest.mark.parametrize("with_ids", [True, False])
def test_each_action_has_a_line(tmp_path: Path, with_ids: bool) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit), AUDIT_IDS=str(with_ids)) as server:
        key = use(server)
        server.wait_until(lambda: "a-guess" in audit.read_text())
    assert audit.stat().st_mode & 0o777 == 0o600
    found = [(line["request_id"], line["action"], line["outcome"], line["status"]) for line in lines(audit)]
    assert [each for each in found if each[0].startswith(("the-", "a-"))] == [
        ("the-put", "write", "ok", 201),
        ("the-commit", "read", "failed", 404),
        ("the-commit", "write", "failed", 404),
        ("the-commit", "delete", "failed", 404),
        ("a-get", "read", "ok", 200),
        ("a-refusal", "read", "forbidden", 403),
        ("a-guess", "authenticate", "forbidden", 401),
    ]
    by_request = {line["request_id"]: line for line in lines(audit)}
    assert (by_request["a-get"]["key"], by_request["a-get"].get("id")) == (key, "films/a" if with_ids else None)
    assert by_request["a-guess"]["client"] == "127.0.0.1"
    assert by_request["the-put"]["key"] not in ("", key), "a token of the settings has an id"
    text = audit.read_text()
    assert ("films/" in text) == with_ids
    assert "dby_" not in text


def test_it_goes_to_the_standard_output(tmp_path: Path) -> None:
    with Server(tmp_path, AUDIT_LOG="stdout") as server:
        use(server)
        server.wait_until(lambda: "a-guess" in server.output())
        assert '"action":"authenticate"' in server.output()
        assert "authenticate" not in server.errors()


def test_a_renamed_file_is_made_again_by_all_workers(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit), WORKERS="2") as server, server.client() as client:
        client.get("/v1/blobs")
        server.wait_until(lambda: bool(audit.read_text()))
        audit.rename(tmp_path / "old")
        for _ in range(20):
            with server.client() as other:  # on a connection of its own, so that both workers get some
                other.get("/v1/blobs")
        server.wait_until(lambda: audit.exists() and audit.read_text().count("\n") == 20)
    assert len(lines(tmp_path / "old")) == 1


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, AUDIT_LOG=str(tmp_path / "none" / "audit"), exit_code=2)
    with pytest.raises(AssertionError), server:
        pass
    assert "AUDIT_LOG: The file" in server.errors()


def test_repeated_failures_are_slowed_and_valid_credentials_are_not(own_server: Server) -> None:
    with own_server.client("wrong") as nobody, own_server.client() as client:
        times = [nobody.get("/v1/blobs").elapsed.total_seconds() for _ in range(FREE + 2)]
        assert min(times[FREE:]) >= 1, times
        assert client.get("/v1/blobs").status_code == 200
        metrics = client.get("/metrics").text
    assert f'drivebay_http_authentication_failures_total{{method="GET",route="/v1/blobs"}} {FREE + 2}.0' in metrics


def test_failures_that_have_another_status_are_counted(own_server: Server) -> None:
    key_id, secret = key_pair(own_server)
    with own_server.client() as client:
        client.put("/v1/blobs/a", content=b"x")
        url = client.post("/v1/shares", json={"id": "a", "password": "secret"}).json()["url"]
        assert client.post(url, data={"password": "wrong"}).status_code == 403
        with pytest.raises(ClientError):
            s3_client(own_server, (key_id, secret[::-1])).list_buckets()
        metrics = client.get("/metrics").text
    counted = "drivebay_http_authentication_failures_total"
    assert f'{counted}{{method="POST",route="/s/{{link}}"}} 1.0' in metrics
    assert f'{counted}{{method="GET",route="s3:ListBuckets"}} 1.0' in metrics


def test_failures_that_are_refused_without_a_delay_are_counted_and_have_lines(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    # With so few request slots no refusal waits, so each one after the first ten is a 429.
    with Server(tmp_path, AUDIT_LOG=str(audit), MAX_REQUESTS="9") as server, server.client() as client:
        client.put("/v1/blobs/a", content=b"x")
        link = client.post("/v1/shares", json={"id": "a", "password": "secret"}).json()["url"]
        read, write = [client.post("/v1/sign", json={"method": m, "id": "a"}).json()["url"] for m in ("GET", "PUT")]
        with server.client("wrong") as nobody:
            assert {nobody.get("/v1/blobs").status_code for _ in range(FREE)} == {401}
            found = [nobody.get("/v1/blobs"), nobody.post("/v1/session")]
            del nobody.headers["Authorization"]
            upload = nobody.put(write, headers={"Upload-Complete": "?0"}, content=b"x").headers["location"]
            found += [nobody.get(_altered(read)), nobody.head(_altered(upload)), nobody.get(link, auth=("", "wrong"))]
            cookie = {"Cookie": f"drivebay_session={'a' * 16}.{10**10}.{'0' * 64}", "Sec-Fetch-Site": "same-origin"}
            found += [nobody.get("/v1/blobs", headers=cookie)]
        assert [each.status_code for each in found] == [429] * 6
        metrics = client.get("/metrics").text
        server.wait_until(lambda: audit.read_text().count('"authenticate"') == FREE + 6)
    counted = re.findall(r"^drivebay_http_authentication_failures_total\{.*\} ([0-9.]+)$", metrics, re.MULTILINE)
    assert sum(map(float, counted)) == FREE + 6
    lined = [(line["outcome"], line["status"], line["client"]) for line in lines(audit) if "client" in line]
    assert lined == [("forbidden", 401, "127.0.0.1")] * FREE + [("forbidden", 429, "127.0.0.1")] * 6


def _altered(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


def test_a_line_says_by_which_link_or_signature_and_on_which_key(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit), AUDIT_IDS="true") as server, server.client() as client:
        client.put("/v1/blobs/a", content=b"x")
        key = client.post("/v1/keys", json={"name": "ci", "actions": ["read"]}).json()["key"]
        link = client.post("/v1/shares", json={"id": "a"}).json()
        url = client.post("/v1/sign", json={"method": "GET", "id": "a"}).json()["url"]
        with server.client() as anybody:
            del anybody.headers["Authorization"]
            for target in (link["url"], url, f"{link['url']}x"):
                anybody.get(target)
        client.delete(f"/v1/shares/{link['share']}")
        client.delete(f"/v1/keys/{key}")
        server.wait_until(lambda: "revoke_key" in audit.read_text())
    found = [(line["action"], line["outcome"], line.get("via", ""), line.get("subject", "")) for line in lines(audit)]
    assert found == [
        ("write", "ok", "", ""),
        ("create_key", "ok", "", ""),
        ("share_read", "ok", "", ""),
        ("sign_read", "ok", "", ""),
        ("read", "ok", link["share"], ""),
        ("read", "ok", "signature", ""),
        ("open_link", "forbidden", "", ""),
        ("unshare", "ok", "", link["share"]),
        ("revoke_key", "ok", "", key),
    ]
    assert link["url"].rpartition("/")[2] not in audit.read_text()


def test_a_wrong_password_in_a_form_has_a_line(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit)) as server, server.client() as client:
        client.put("/v1/blobs/a", content=b"x")
        url = client.post("/v1/shares", json={"id": "a", "password": "secret"}).json()["url"]
        with server.client() as anybody:
            del anybody.headers["Authorization"]
            assert anybody.post(url, data={"password": "wrong"}).status_code == 403
            assert anybody.post(f"{url[:-1]}7", data={"password": "secret"}).status_code == 404
            assert anybody.post(url, data={"password": "secret"}).status_code == 200
        server.wait_until(lambda: '"read"' in audit.read_text())
    found = [(line["action"], line["outcome"], line["status"], line.get("client")) for line in lines(audit)]
    assert found[2:] == [
        ("authenticate", "forbidden", 403, "127.0.0.1"),
        ("open_link", "forbidden", 404, None),
        ("read", "ok", 200, None),
    ]
