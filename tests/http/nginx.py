"""nginx in a container on this machine's network, with the configurations that Drivebay comes with."""

import io
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.backends.containers import engine
from tests.backends.run import Backends
from tests.http.server import PATIENCE

ROOT = Path(__file__).parents[2]
TEMPORARY = "".join(f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def of_the_cluster(port: int, servers: str) -> str:
    """The configuration of the profile `cluster`. `servers`: lines of an `upstream` block."""
    text = (ROOT / "docker" / "nginx" / "nginx.conf").read_text()
    text = text.replace("listen 8080 reuseport", f"listen 127.0.0.1:{port}; http2 on").replace(
        "127.0.0.1:8081", "unix:/tmp/health"
    )
    return text.replace("//replica:8000", "//replicas").replace(
        "http {", f"http {{ upstream replicas {{ {servers} }}", 1
    )


def of_the_page_on_hardening(port: int, servers: str) -> str:
    """The configuration in HARDENING.md, without TLS."""
    [block] = re.findall(r"```nginx\n(.*?)```", (ROOT / "entrypoints" / "HARDENING.md").read_text(), re.DOTALL)
    block = re.sub(r"(?s)(upstream drivebay \{).*?\}", rf"\1 {servers} }}", block, count=1)
    block = block.replace("listen 443 ssl", f"listen 127.0.0.1:{port}; http2 on").replace("/run/nginx/", "/tmp/")  # noqa: S108 - in the container
    return _whole(block)


def of_its_defaults(port: int, servers: str) -> str:
    """Nothing but the address of the server, and no limit on bodies."""
    return _whole(
        f"upstream drivebay {{ {servers} }} server {{ listen 127.0.0.1:{port}; http2 on; client_max_body_size 0; "
        "location / { proxy_pass http://drivebay; } }"
    )


def _whole(block: str) -> str:
    return f"pid /tmp/nginx.pid; error_log stderr; events {{}} http {{ access_log off; {TEMPORARY} {block} }}"


@contextmanager
def container(backends: Backends) -> Iterator[Any]:
    """A container in which nginx can be started."""
    containers = backends.containers()
    with engine() as client:
        idle = containers.start_idle("nginx", command="sleep infinity")
        yield client.containers.get(idle.get_wrapped_container().id)
    containers.stop()


@contextmanager
def running(container: Any, configuration: str) -> Iterator[None]:
    """nginx with this configuration, until the end of the context. Only one at a time in a container."""
    text = configuration.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("nginx-of-the-test.conf")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    container.put_archive("/tmp", packed.getvalue())  # noqa: S108 - in the container
    _run(container, "nginx -c /tmp/nginx-of-the-test.conf")
    try:
        yield
    finally:
        _run(container, "nginx -c /tmp/nginx-of-the-test.conf -s stop")
        deadline = time.monotonic() + PATIENCE
        while container.exec_run(["test", "!", "-e", "/tmp/nginx.pid"]).exit_code != 0:  # noqa: S108 - likewise
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _run(container: Any, command: str) -> None:
    code, output = container.exec_run(command.split())
    assert code == 0, output.decode()
