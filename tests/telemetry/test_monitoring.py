"""The dashboard and the alerts: what they ask for is there, and alerts fire when they should."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from tests.backends.containers import engine
from tests.http.server import Server
from tests.telemetry.scrape import scrape_until

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
NAME = re.compile(r"\b(?:drivebay|process)_[a-z_]+\b")


def asked_for() -> set[str]:
    """The metrics that the expressions name."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    rules = (MONITORING / "alerts.yml").read_text()
    return set(NAME.findall("\n".join([*expressions, rules])))


def test_all_that_is_asked_for_is_there_and_all_that_is_there_is_asked_for(own_server: Server) -> None:
    with own_server.client() as client:
        client.put("/v1/blobs/a", content=b"x")
        client.get("/v1/blobs/a")
        client.delete("/v1/blobs/a")
    found = scrape_until(own_server, lambda found: found.value("drivebay_backlog_garbage") == 1)
    there = found.names()
    assert asked_for() - there == set()
    ours = {family.name for family in found.families if family.name.startswith("drivebay_")}
    used = {name for name in ours if any(asked.startswith(name) for asked in asked_for())}
    assert ours - used == set()


@pytest.mark.docker
def test_the_alerts_fire_when_they_should(promtool_container: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in MONITORING.iterdir():
            archive.add(path, path.name)
    with engine() as client:
        container = client.containers.get(promtool_container)
        container.put_archive("/tmp", packed.getvalue())  # noqa: S108 - in the container
        for command in ("check config prometheus.yml", "test rules alerts_test.yml"):
            code, output = container.exec_run(["promtool", *command.split()], workdir="/tmp")  # noqa: S108 - likewise
            assert code == 0, output.decode()
    names = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    tested = (MONITORING / "alerts_test.yml").read_text()
    assert [name for name in names if f'alertname="{name}"' not in tested] == []
