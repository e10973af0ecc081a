"""The examples of HARDENING.md on keys, pasted into a shell next to a server."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.http.server import DRIVEBAY, OTHER_TOKEN, PATIENCE, Server
from tests.http.wire import TOKEN

HARDENING = Path(__file__).parents[2] / "entrypoints" / "HARDENING.md"


def examples() -> str:
    """Return all commands of the section on keys."""
    [section] = re.findall(r"^## Keys\n(.*?)^## ", HARDENING.read_text(), re.DOTALL | re.MULTILINE)
    return "".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


@pytest.mark.timeout(360)  # nearly twenty programs, each of which takes seconds to start on a busy machine
def test_the_examples_work_as_they_are(tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    (tmp_path / "report.pdf").write_bytes(b"a report")
    with Server(tmp_path) as server, server.client() as client:
        client.put("/v1/blobs/films/a.mp4", content=b"a film")
        environment = {
            "PATH": f"{Path(DRIVEBAY).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "CURL_HOME": str(tmp_path),
            "AUTH_BEARER_TOKEN": f"{TOKEN},{OTHER_TOKEN}",
            "PORT": str(server.port),
        }
        script = examples().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        command = ["bash", "-euo", "pipefail", "-c", script]
        run = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=8 * PATIENCE, check=False
        )
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
        assert "films/a.mp4" in run.stdout
        assert (tmp_path / "a.mp4").read_bytes() == b"a film"
        stored = client.get("/v1/blobs", params={"prefix": "inbox/"}).json()["blobs"]
        assert [blob["id"] for blob in stored] == ["inbox/a.mp4", "inbox/report.pdf"]
        names = {key["name"] for key in client.get("/v1/keys").json()["keys"]}
        assert names == {"ci", "inbox", "scanner"}
