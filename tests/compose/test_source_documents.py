"""The two services that Drivebay grew out of: their .env files, their compose commands and curl lines, as written."""

import base64
import json
import re
from collections.abc import Callable

import pytest

from tests.compose.project import PATIENCE, Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * PATIENCE)]

FIRST = """\
ACTIVE_STORAGE=database
DB_USER=myuser
DB_PASSWORD=mypassword
DB_HOST=db      # Fixed
DB_PORT=5432
DB_NAME=mydatabase
"""
# Its values for S3 and FTP are those of an account, which is not asked here.
SECOND = """\
AUTH_BEARER_TOKEN=dev-secret-123
STORAGE=filesystem
FS_BASE_PATH=./storage
DATABASE_URL=sqlite:///./metadata.db

S3_ENDPOINT=https://s3.example.invalid
S3_REGION=eu-north-1
S3_BUCKET=rekaz-s3
S3_ACCESS_KEY=AKIA...
S3_SECRET_KEY=...
S3_FORCE_PATH_STYLE=false

FTP_HOST=ftp.example.invalid
FTP_PORT=21
FTP_USER=...
FTP_PASSWORD=...
FTP_TLS=true
FTP_BASE_DIR=/
FTP_TIMEOUT=12
"""
CREATE = """\
curl --location 'http://localhost:8000/v1/blobs' \\
--header 'Authorization: Bearer dev-secret-123' \\
--header 'Content-Type: application/json' \\
--data '{"id":"k5","data":"SGVsbG54548="}'
"""
RETRIEVE = """\
curl --location 'http://localhost:8000/v1/blobs/k5' \\
--header 'Authorization: Bearer dev-secret-123'
"""


def test_the_first_document(start_project: Callable[..., Project]) -> None:
    project = start_project("first", env=FIRST)
    project.run("docker compose up --build --detach --wait")
    token = re.findall(r"A new token: (\S+)", project.run("docker compose logs app"))[-1]
    curl = f"curl --header 'Authorization: Bearer {token}'"
    body = '{ "id": "my-unique-blob-id", "data": "SGVsbG8gV29ybGQh" }'
    as_json = "--header 'Content-Type: application/json'"
    stored = json.loads(project.run(f"{curl} {as_json} --data '{body}' http://127.0.0.1:8000/v1/blobs"))
    assert stored["message"] == "Blob stored successfully"
    for command in ("true", "docker compose down && docker compose up --detach --wait"):
        project.run(command)
        fetched = json.loads(project.run(f"{curl} http://127.0.0.1:8000/v1/blobs/my-unique-blob-id"))
        assert fetched.keys() == {"id", "data", "size", "created_at"}
        assert (fetched["data"], fetched["size"]) == ("SGVsbG8gV29ybGQh", 12)
    bytes_of_chunks = "SELECT sum(length(data)) FROM chunks"
    psql = (
        f"PGPASSWORD=mypassword psql --host db --username myuser --tuples-only --command '{bytes_of_chunks}' mydatabase"
    )
    assert project.run(f'docker compose exec db sh -c "{psql}"').strip() == "12"


def test_the_second_document(start_project: Callable[..., Project]) -> None:
    project = start_project("second", env=SECOND)
    project.run("docker compose up --build --detach --wait")
    assert json.loads(project.run(CREATE))["message"] == "Blob stored successfully"
    project.run("docker compose down")
    project.run("docker compose up --detach --wait")
    fetched = json.loads(project.run(RETRIEVE))
    assert (fetched["id"], fetched["data"], fetched["size"]) == ("k5", "SGVsbG54548=", 8)
    assert base64.b64decode(fetched["data"]) == b"Hellnx\xe7\x8f"
    assert "metadata.db" in project.run("docker compose exec app ls /data")
    assert project.run("docker compose exec app find /data/storage -type f -size -9c").count("\n") == 1  # no marker
    result = project.run(
        "docker compose run --rm app pytest tests/test_http_blob.py tests/unit/test_settings.py --quiet"
    )
    assert re.search(r"\d\d+ passed", result), result
