"""The servers that Drivebay is compared with, each on a free port of 127.0.0.1, and Drivebay itself."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.backends.containers import engine
from tests.backends.run import Backends
from tests.benchmarks.peers.load import SCRIPT, LoadGenerators
from tests.http.server import DRIVEBAY, Server, free_port

RCLONE = Path(sys.executable).with_name("rclone")
PATIENCE = 20  # seconds
# As `nobody`, the workers of root could not read the folder. Connections stay open, as those to Drivebay do.
NGINX = """
user root; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; dav_methods PUT; }}
}}
"""


@contextmanager
def load_generators(backends: Backends, folder: Path) -> Iterator[LoadGenerators]:
    """Start the container with wrk, curl and nginx. `folder` has the same path inside, and the same owner."""
    from docker.types import Mount

    shutil.copy(SCRIPT, folder)
    containers = backends.containers()
    with engine() as client:
        idle = containers.start_idle(
            "peers",
            user=f"{os.getuid()}:{os.getgid()}",
            mounts=[Mount(str(folder), str(folder), "bind")],
            security_opt=["seccomp=unconfined"],  # the filter would make each system call of the peers slower
        )
        try:
            yield LoadGenerators(client.containers.get(idle.get_wrapped_container().id), folder)
        finally:
            containers.stop()


def nginx(generators: LoadGenerators) -> str:
    """Start nginx in the container, with one worker, and return its URL. It serves `files`, and takes PUTs."""
    port, config = free_port(), generators.folder / "nginx.conf"
    config.write_text(NGINX.format(folder=generators.folder, port=port))
    generators.run("nginx", "-c", f"{config}")
    return f"http://127.0.0.1:{port}"


@contextmanager
def rclone(protocol: str, folder: Path, *options: str) -> Iterator[str]:
    """`rclone serve http`, `rclone serve webdav` or `rclone serve s3` for a folder. Its URL."""
    port = free_port()
    command = [f"{RCLONE}", "serve", protocol, f"{folder}", "--config", os.devnull, "--addr", f"127.0.0.1:{port}"]
    with running([*command, *options], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], port: int, **variables: str) -> Iterator[None]:
    """Run a server until the end of the context, which begins when it listens. Nothing of it is printed."""
    environment = {**os.environ, **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield
        finally:
            process.kill()


def drivebay(folder: Path, source: Path | None = None, **settings: str) -> Server:
    """Drivebay on SQLite and files in a new folder, with its default settings. `source`: another version's folder."""
    folder.mkdir()
    # Server has another default, with which the reaper would be a load.
    given: dict[str, Any] = {"REAP_INTERVAL": "30", **settings}
    if source is None:
        return Server(folder, command=[DRIVEBAY, "serve"], **given)
    serve = "from entrypoints.cli.main import main; main(['serve'])"
    return Server(folder, command=[sys.executable, "-c", serve], PYTHONPATH=f"{source}", **given)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < deadline, f"{process.args!r} does not listen"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # nothing says that it listens
