"""Containers of the images in docker. They carry a label, by which they are found again and removed."""

import gc
import os
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

# Whoever starts containers here removes them, and talks to loopback alone.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
os.environ.setdefault("TC_HOST", "127.0.0.1")

IMAGES = Path(__file__).parents[2] / "docker"


@dataclass(frozen=True)
class Containers:
    """Starts containers with the label `key=value`. What is copied out of them goes into `folder`."""

    label: tuple[str, str]
    folder: Path
    started: "list[DockerContainer]" = field(default_factory=list)

    def start(
        self,
        image: str,
        port: int,
        ready: str,
        *,
        published: Sequence[int] = (),
        elsewhere: Sequence[int] = (),
        tmpfs: dict[str, str] | None = None,
        capabilities: Sequence[str] = (),
        command: str = "",
        **env: str,
    ) -> "DockerContainer":
        """One that has logged `ready`. `port` and those `elsewhere` become any free ones, those of `published` stay.

        `capabilities`: Linux capabilities that Docker does not give by default. `command`: replaces the image's.
        """
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        container = self._made(IMAGES / "backends" / image, cap_add=list(capabilities)).with_envs(**env)
        # In docker-py's words: testcontainers has none for an address.
        ports: dict[str, Any] = {str(each): ("127.0.0.1", each) for each in published}
        container.ports.update(ports | {str(each): ("127.0.0.1", None) for each in (port, *elsewhere)})
        container.tmpfs.update(tmpfs or {})
        if command:
            container.with_command(command)
        container.waiting_for(LogMessageWaitStrategy(ready).with_startup_timeout(90))
        try:
            return container.start()
        except (RuntimeError, TimeoutError) as error:
            said = b"".join(container.get_logs()).decode(errors="replace")
            raise RuntimeError(f"{image} ended, or was not ready in time: {said[-2000:]}") from error

    def start_idle(self, image: str, command: str | None = None, **options: Any) -> "DockerContainer":
        """Start a container on the network of this machine, in which commands can be run.

        `command`: required where the image's own does not wait. `options`: keywords of docker-py.
        """
        container = self._made(IMAGES / image, network_mode="host", **options)
        if command:
            container.with_command(command)
        return container.start()

    def _made(self, image: Path, **kwargs: Any) -> "DockerContainer":
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(_build(image))
        _ask_no_environment(container.get_docker_client().client)
        # Without health checks: nothing waits for one, and each costs a process every few seconds.
        container.with_kwargs(labels=dict([self.label]), healthcheck={"test": ["NONE"]}, **kwargs)
        self.started.append(container)
        (self.folder / "started").touch()
        return container

    def stop(self) -> None:
        """Remove those that were started through this object."""
        while self.started:
            self.started.pop().stop()


@cache
def _build(image: Path) -> str:
    """The id of the image: another checkout may give the tag to one of its own at any time. Built once a process.

    By the command, which shares what it has built with `docker compose build`.
    """
    command = ["docker", "build", "--quiet", "--tag", f"drivebay-test-{image.name}", str(image)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"{image} can't be built: {built.stderr[-2000:]}")
    return built.stdout.strip()


@contextmanager
def engine() -> Iterator[Any]:
    """A client of the Docker engine."""
    import docker

    with closing(docker.from_env()) as client:
        _ask_no_environment(client)
        yield client


def _ask_no_environment(client: Any) -> None:
    """Not for proxies, at each request: in a thread that would race with pytest, which changes the environment."""
    client.api.trust_env = False


def docker_answers() -> bool:
    """Whether there is a Docker engine here."""
    from docker.errors import DockerException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # where there is none, it forgets to close its socket
        try:
            with engine() as client:
                return bool(client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()


def remove(*containers: Any) -> None:
    """Remove them with their volumes; somebody else may do so at the same time."""
    from docker.errors import APIError

    for container in containers:
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise


def labelled(client: Any, label: str) -> list[Any]:
    """The containers with this label, `key` or `key=value`, whether they run or not."""
    found: list[Any] = client.containers.list(all=True, ignore_removed=True, filters={"label": label})
    return found
