"""The status for operators: who may see it, and what it says where something fails."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.http.server import Server, free_port
from tests.verify.command import verify


def test_it_has_health_space_backlog_and_numbers(own_server: Server) -> None:
    with own_server.client() as client:
        client.put("/v1/blobs/a", content=b"x" * 1000)
        client.get("/v1/blobs/a?alt=media")
        client.get("/v1/blobs/none")
        client.delete("/v1/blobs/a")
        found = client.get("/v1/status").json()
        assert found["active"] == "fs"
        assert found["database"] == {"name": "database", "status": "ok", "reason": ""}
        well = {"status": "ok", "reason": ""}
        assert found["storages"] == [{"name": name, **well} for name in ("fs", "database")]
        assert {disk["name"] for disk in found["disks"]} == {"blobs", "rows"}
        assert all(0 < disk["free_bytes"] < disk["size_bytes"] for disk in found["disks"])
        [backlog] = found["backlog"]
        assert (backlog["storage"], backlog["garbage"] >= 1, found["digests"]) == ("fs", True, 0)
        requests = found["requests"]
        assert requests["in_flight"] == 1
        assert (requests["by_status"]["2xx"], requests["by_status"]["4xx"]) >= (3, 1)
        assert requests["total"] == sum(requests["by_status"].values())
        assert (requests["bytes_in"], requests["bytes_out"]) >= (1000, 1000)
        assert {each["name"] for each in found["backends"]} >= {"fs", "sqlite"}
        assert found["process"]["workers"] == 1
        assert found["process"]["resident_bytes"] > 0


def test_it_has_the_last_verification_of_each_storage(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        assert client.get("/v1/status").json()["verifications"] == []
        client.put("/v1/blobs/a", content=b"x" * 1000)
        client.put("/v1/blobs/b", content=b"y")
        begun = datetime.now(UTC)
        assert verify(tmp_path, "--deep").code == 0
        database, fs = client.get("/v1/status").json()["verifications"]
        assert begun <= datetime.fromisoformat(fs["ended_at"]) <= datetime.now(UTC)
        assert fs["seconds"] >= 0
        nothing = {"missing": 0, "damaged": 0, "orphans": 0, "unreadable": 0, "repaired": 0}
        found = {name: value for name, value in fs.items() if name not in ("ended_at", "seconds")}
        numbers = {"blobs": 2, "bytes": 1001, "objects": 2}
        assert found == {"storage": "fs", "deep": True, "complete": True, **numbers, **nothing}
        assert (database["storage"], database["blobs"]) == ("database", 0)
        for blob in (tmp_path / "data" / "blobs").rglob("*"):
            if blob.is_file() and blob.stat().st_size == 1000:
                blob.unlink()
        assert verify(tmp_path, "--storage", "fs").code == 1
        unchanged, fs = client.get("/v1/status").json()["verifications"]
        assert unchanged == database
        assert (fs["deep"], fs["blobs"], fs["missing"], fs["complete"]) == (False, 2, 1, True)


def test_only_an_admin_of_all_blobs_sees_it(own_server: Server) -> None:
    with own_server.client() as client:
        keys = [{"actions": ["read", "write", "delete", "list"]}, {"actions": ["admin"], "prefixes": ["films/"]}]
        for key in keys:
            token = client.post("/v1/keys", json={"name": "limited", **key}).json()["token"]
            with own_server.client(token) as limited:
                refused = limited.get("/v1/status")
                assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        del client.headers["Authorization"]
        assert client.get("/v1/status").status_code == 401


def test_without_metrics_there_are_no_numbers(tmp_path: Path) -> None:
    with Server(tmp_path, METRICS="false") as server, server.client() as client:
        found = client.get("/v1/status").json()
        assert (found["requests"], found["backends"], found["process"]) == (None, None, None)
        assert found["disks"]


def test_it_says_which_storage_fails(tmp_path: Path) -> None:
    port = str(free_port())
    other = {"S3_BUCKET": "b", "S3_ENDPOINT": f"http://127.0.0.1:{port}", "S3_ACCESS_KEY": "k", "S3_SECRET_KEY": "s"}
    settings: dict[str, Any] = {"STORAGE": "fs", "STORAGE_ATTEMPTS": "1", **other}
    with Server(tmp_path, **settings) as server, server.client() as client:
        found = _by_name(client)
        assert (found["fs"]["status"], found["s3"]["status"]) == ("ok", "failing")
        assert found["s3"]["reason"] == "unavailable"
        folder = tmp_path / "data" / "blobs"
        folder.rename(tmp_path / "moved")  # in one step: the server writes into it
        folder.write_text("no folder")
        server.wait_until(lambda: _by_name(client)["fs"]["status"] == "failing")


def _by_name(client: httpx.Client) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in client.get("/v1/status").json()["storages"]}
