"""A checkout of its own, and what compose makes of it: containers, volumes and networks under a name of their own."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.backends.containers import engine
from tests.backends.run import lives
from tests.http.server import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds, in which a machine with other work can build all images
LABEL = "com.docker.compose.project"
KINDS = ("containers", "networks", "volumes", "images")  # the parts of a project; each needs only later ones
# Of the containers of a test, Docker asks more often whether they are healthy: each start waits for the answer.
SERVICES = ("app", "s3", "ftp", "postgres", "mariadb", "db", "replica", "nginx")
ASK_OFTEN = {"services": {service: {"healthcheck": {"interval": "1s"}} for service in SERVICES}}


class Project:
    """A context, at whose end nothing is left. `env`: the .env of its user. `run`: the folder of the test run."""

    def __init__(self, run: Path, name: str, folder: Path, env: str = "") -> None:
        self.name = f"{run.name}-{name}"
        self.folder = folder
        self.port, self.cluster_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = env
        self._ask_often = folder.with_name(f"{folder.name}-ask-often.json")

    def __enter__(self) -> Self:
        remove_left_behind()
        _check_out(self.folder)
        self._ask_often.write_text(json.dumps(ASK_OFTEN))
        if self._env:
            (self.folder / ".env").write_text(self._env)
        return self

    def __exit__(self, *exc: object) -> None:
        remove(self.name)

    def run(self, script: str) -> str:
        """What a shell prints that runs these lines as a user would. Fails where one of them does."""
        for ours, written in ((self.port, 8000), (self.cluster_port, 8080)):
            script = re.sub(rf"(localhost|127\.0\.0\.1):{written}\b", rf"\g<1>:{ours}", script)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "COMPOSE_PROJECT_NAME": self.name,
                "COMPOSE_FILE": f"compose.yaml:{self._ask_often}",
                "DRIVEBAY_PORT": str(self.port),
                "DRIVEBAY_CLUSTER_PORT": str(self.cluster_port),
                "COMPOSE_PROGRESS": "plain",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        with engine() as client:
            said = {each.name: each.logs(tail=8).decode(errors="replace") for each in self.containers(client)}
        return "\n".join(f"{name}: {lines}" for name, lines in said.items())

    def containers(self, client: Any, service: str | None = None) -> list[Any]:
        labels = [f"{LABEL}={self.name}", *([f"com.docker.compose.service={service}"] if service else [])]
        found: list[Any] = client.containers.list(all=True, filters={"label": labels})
        return sorted(found, key=lambda each: str(each.name))


def remove_left_behind() -> None:
    """Remove the projects of test runs that live no more, also those without containers."""
    with engine() as client:
        names = {labels[LABEL] for kind in KINDS for _, labels in parts(client, kind, LABEL)}
    for name in names:
        run = re.match(r"drivebay-tests-[0-9a-f]+", name)
        if run and not lives(Path("/tmp") / run[0]):  # noqa: S108 - where runs make their folders
            remove(name)


def _check_out(folder: Path) -> None:
    """What a clone of this working tree has in it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def remove(name: str) -> None:
    """Remove all parts with the project's label: a killed run may have left some without those that they need."""
    from docker.errors import APIError

    with engine() as client:
        client.api.timeout = PATIENCE
        calls = {
            "containers": lambda part: client.api.remove_container(part, v=True, force=True),
            "networks": client.api.remove_network,
            "volumes": lambda part: client.api.remove_volume(part, force=True),
            "images": lambda part: client.api.remove_image(part, force=True),
        }
        for kind in KINDS:
            for part, _ in parts(client, kind, f"{LABEL}={name}"):
                try:
                    calls[kind](part)
                except APIError as error:
                    # Another process sweeps too: it has removed the part, or removes what uses it.
                    if error.status_code not in (403, 404, 409):
                        raise


def parts(client: Any, kind: str, label: str) -> list[tuple[str, dict[str, str]]]:
    """List the ids and labels of the containers, networks, volumes or images with this label, `key` or `key=value`."""
    filters = {"label": label}
    if kind == "containers":
        found = client.api.containers(all=True, filters=filters)
    elif kind == "volumes":
        found = client.api.volumes(filters=filters)["Volumes"] or []
    else:
        found = getattr(client.api, kind)(filters=filters)
    return [(each["Name" if kind == "volumes" else "Id"], each["Labels"] or {}) for each in found]
