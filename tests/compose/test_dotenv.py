"""A .env means the same to `docker compose` as to `drivebay serve`."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from entrypoints.config.loading import load
from tests.compose.project import PATIENCE, Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * PATIENCE)]

# Each with something that compose, a shell or a parser could take for something else.
DOTENV = r"""
AUTH_BEARER_TOKEN='to$HOME${PATH}#ken'  # mine
export DB_HOST = db
DB_USER="my user"
DB_PASSWORD='pa$$ "$word" #1 ${HOME} \'quoted\' '
DB_NAME="my $database #1"
S3_ACCESS_KEY=$KEY
S3_SECRET_KEY="a\$b #c \"d\" 'e' $"
FTP_USER=u$1#not-a-comment # a comment
FTP_PASSWORD=with spaces and a $
"""
SHOW = """
import dataclasses, json, os
from entrypoints.config.loading import load
print(json.dumps(dataclasses.asdict(load(os.environ)), default=str))
"""
OF_THE_CONTAINER = ("host", "data_dir")  # which compose sets, and the folder of the storage "fs"


def test_each_value_arrives_as_it_is_written(
    start_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = start_project("dotenv", env=DOTENV)
    os.chmod(project.folder / ".env", 0o600)
    # It waits for the database, which lets Drivebay in only if both have the same name, user and password.
    project.run("docker compose up --build --detach --wait")
    monkeypatch.chdir(tmp_path)
    expected = asdict(load({}, project.folder / ".env"))
    assert expected["database_url"].startswith("postgresql://my%20user:pa%24%24%20")
    found = json.loads(project.run(f"docker compose exec app python3 -c '{SHOW}'"))
    for name, value in json.loads(json.dumps(expected, default=str)).items():
        if name == "backends":
            found[name]["fs"] = value["fs"]
        assert name in OF_THE_CONTAINER or found[name] == value, name
    assert "pa$$" not in project.run("docker inspect $(docker compose ps --quiet app)")

    # A change is taken over.
    (project.folder / ".env").write_text(DOTENV.replace("#ken", "#other"))
    project.run("docker compose up --detach --wait")
    changed = json.loads(project.run(f"docker compose exec app python3 -c '{SHOW}'"))
    assert changed["tokens"] != found["tokens"]
    auth = """--header 'Authorization: Bearer to$HOME${PATH}#other' """
    project.run(f"curl --silent --fail {auth} http://localhost:8000/v1/blobs")
