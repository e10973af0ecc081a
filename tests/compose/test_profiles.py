"""What the README lets a newcomer type, from the clone to the stored blob, in each profile."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.backends.containers import engine
from tests.compose.project import PATIENCE, ROOT, Project

PROFILES = {"": "fs", "s3": "s3", "ftp": "ftp", "postgres": "database", "mariadb": "database"}
[SECTION] = re.findall(
    r"^## Run it in containers\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)
START, STORE, STOP, WITH_S3, *_ = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture(scope="module")
def project(start_project: Callable[..., Project]) -> Project:
    return start_project("profiles")


@pytest.mark.parametrize("profile", PROFILES)
def test_from_the_clone_to_a_blob_that_outlives_its_containers(project: Project, profile: str) -> None:
    given = f"docker compose --profile {profile} " if profile else "docker compose "
    start = WITH_S3.replace("--profile s3", f"--profile {profile}") if profile else START
    stop = STOP.replace("docker compose ", given)
    [store, fetch, *_] = [command for command in STORE.split("\n\n") if "curl" in command]
    token = next(line for line in STORE.splitlines() if line.startswith("token="))
    blob = {"id": "k5", "data": "SGVsbG8gV29ybGQh", "size": 12}
    try:
        project.run(start)
        stored = json.loads(project.run(f"{token}\n{store.replace('k5', f'k5-{profile}')}"))
        assert stored.items() >= {"message": "Blob stored successfully", "size": 12}.items()
        project.run(stop)
        project.run(start)
        fetched = json.loads(project.run(f"{token}\n{fetch.replace('k5', f'k5-{profile}')}"))
        assert fetched.items() >= (blob | {"id": f"k5-{profile}"}).items()
        listed = json.loads(project.run(f"{token}\n{_list(project)}"))
        [found] = [each for each in listed["blobs"] if each["id"] == f"k5-{profile}"]
        assert found["backend"] == PROFILES[profile]
        check_what_containers_may(project)
    finally:
        project.run(stop)


def _list(project: Project) -> str:
    return f'curl --silent --fail --header "Authorization: Bearer $token" "{project.url}/v1/blobs"'


def check_what_containers_may(project: Project) -> None:
    with engine() as client:
        services = {each.labels["com.docker.compose.service"]: each.attrs for each in project.containers(client)}
    assert services.keys() >= {"app", "dotenv", "secrets", "settings"}
    for service, container in services.items():
        may: dict[str, Any] = container["HostConfig"]
        assert "no-new-privileges:true" in may["SecurityOpt"], service
        assert not may["Privileged"], service
        assert may["PortBindings"] in ({}, None) or service == "app", service
        if service != "ftp":  # which becomes the user of each session
            assert may["ReadonlyRootfs"], service
            assert may["CapDrop"] == ["ALL"], service
        if service == "dotenv":  # which reads a file that may be readable only for its owner
            assert (may["CapAdd"], may["NetworkMode"]) == (["DAC_READ_SEARCH"], "none")
        elif service != "ftp":
            assert not may["CapAdd"], service
            assert container["Config"]["User"] not in ("", "root", "0"), service
    assert services["app"]["HostConfig"]["PortBindings"]["8000/tcp"][0]["HostIp"] == "127.0.0.1"


def test_the_tests_run_in_the_container(project: Project) -> None:
    printed = project.run("docker compose run --rm app pytest tests/test_http_blob.py tests/unit tests/clients --quiet")
    assert re.search(r"\d\d+ passed, \d+ skipped", printed), printed
    project.run("docker compose down")


def test_a_container_writes_to_its_volume_alone(project: Project) -> None:
    result = project.run(
        "docker compose run --rm --no-deps app sh -c"
        " 'id -u; touch /opt/drivebay/x || echo refused; touch /data/x && rm /data/x && echo stored'"
    )
    assert result.split() == ["10001", "refused", "stored"]
