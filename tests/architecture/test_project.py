"""What the project says of itself is so."""

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from adapters.sql import migrations
from adapters.storage.backend import Backend
from adapters.storage.backends import BACKENDS
from adapters.storage.s3.config import S3Config
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.config.settings import NAMES, SECRETS, Settings
from tests import audit
from tests.conftest import LONG, TESTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LAYERS = ("domain", "application", "adapters", "entrypoints")
MOST_MODULES = 16  # in a folder, its __init__.py among them: a reader sees them at one look


def name_of(dependency: str) -> str:
    return re.split(r"[\[><=]", dependency)[0]


def test_the_readme_and_the_example_have_every_setting() -> None:
    assert set(re.findall(r"`([A-Z0-9_]+)`", README)) >= NAMES
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^# ([A-Z0-9_]+)=", example, re.MULTILINE)) == Settings().by_name().keys()


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=list(BACKENDS))
def test_the_texts_of_a_backend_name_settings_that_there_are(backend: Backend[Any]) -> None:
    texts = [backend.settings, backend.address, backend.login, backend.place, backend.rights]
    assert set(re.findall(r"\b[A-Z0-9]+_[A-Z_]+\b", " ".join(texts))) <= NAMES


def test_the_readmes_map_names_what_is_there() -> None:
    [drawing] = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    folder = ROOT
    for line in drawing.splitlines():
        for name in re.findall(r"[\w./]+", line.split("   ")[0]):
            assert (folder / name if line.startswith(" ") else ROOT / name).exists(), line
        if not line.startswith(" "):
            folder = ROOT / line.split()[0]


def test_no_folder_of_the_product_is_crowded() -> None:
    counts = Counter(path.parent for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES}


def test_the_lock_files_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text()
        assert "://" not in lock
        assert "--index-url" not in lock
        pinned = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==", lock, re.MULTILINE)
        assert len(pinned) > 30
        assert lock.count("--hash=sha256:") >= len(pinned)


def test_the_lock_files_have_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {"requirements.lock": project["project"]["dependencies"] + groups["build"]}
    wanted["requirements-dev.lock"] = wanted["requirements.lock"] + groups["dev"]
    for name, dependencies in wanted.items():
        lock = (ROOT / name).read_text()
        for dependency in dependencies:
            assert re.search(rf"^{name_of(dependency)}(\[.*\])?==", lock, re.MULTILINE), (name, dependency)


def test_the_audit_asks_for_every_pin() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text()
    pins = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==", lock, re.MULTILINE)
    lines = [line.removeprefix("# ") for line in audit.script(lock).splitlines() if "///" not in line]
    asked = tomllib.loads("\n".join(lines))
    assert [name_of(pin) for pin in asked["dependencies"]] == pins


def test_the_head_of_the_migrations_is_the_newest() -> None:
    config = Config()
    config.set_main_option("script_location", "adapters.sql:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


@pytest.mark.parametrize(
    "given",
    [
        Settings(),
        Settings(storage="memory"),
        Settings(database_url="postgresql://u:p@127.0.0.1/d"),
        Settings(storage="database"),
        Settings(storage="s3", backends={**Settings().backends, "s3": S3Config("b")}),
        Settings(database_url="postgresql://u:p@127.0.0.1/d?sslmode=require"),
        Settings(database_url="mariadb://u:p@127.0.0.1/d", storage="database"),
    ],
    ids=["files and SQLite", "memory", "PostgreSQL", "the database", "S3", "PostgreSQL over TLS", "MariaDB"],
)
def test_the_container_can_make_all_that_it_provides(given: Settings) -> None:
    container = Container(settings=given)
    for name in ("metadata", "stores", "store_blob", "fetch_blob", "reap", "verify", "check_ready"):
        assert container.providers[name]() is not None, name
    assert container.store_blob() is container.store_blob()
    assert container.stores().active == given.storage


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_connections_to_a_database_are_a_setting(kind: str) -> None:
    given = load({"DATABASE_URL": f"{kind}://u:p@127.0.0.1/d", "DATABASE_CONNECTIONS": "3"}, ROOT / "none")
    pool = Container(settings=given).providers["database"]()._engine.pool
    assert (pool.size(), pool._max_overflow) == (3, 0)


def test_containers_share_nothing() -> None:
    assert Container(settings=Settings()).stores() is not Container(settings=Settings()).stores()


def test_no_secret_has_a_default() -> None:
    given = load({}, dotenv=ROOT / "there is none")
    assert {name for name, value in given.by_name().items() if value and name in SECRETS} == {"DATABASE_URL"}
    assert given.database_url.startswith("sqlite:///")  # of a file: there is no password
    example = (ROOT / ".env.example").read_text()
    assert len(SECRETS) == 10
    for name in SECRETS - {"DATABASE_URL"}:
        assert re.findall(rf"^# {name}=(.*)$", example, re.MULTILINE) in ([""], [])


def test_no_secret_is_in_a_representation() -> None:
    environment = dict.fromkeys(SECRETS - {"SECRET_KEY", "DB_PASSWORD"}, "hidden" * 6)
    environment |= {"DATABASE_URL": "postgresql://user:hidden@localhost/name"}
    assert "hidden" not in repr(load(environment, dotenv=ROOT / "there is none"))


def test_nothing_that_is_installed_has_a_secret_in_it() -> None:
    named = re.compile(r"""(?i)\b\w*(?:password|secret|token|api_?key)\w*(?:\s*:\s*\w+)?\s*=\s*["'][^"']+["']""")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*.py"))
        for match in named.finditer(path.read_text())
    ]
    assert found == []


def test_git_knows_no_secret_and_no_data() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert not [name for name in tracked.stdout.splitlines() if re.search(r"(^|/)(\.env|token|data/.*|.*\.db)$", name)]


def test_the_least_rights_on_s3_are_those_of_the_calls() -> None:
    rights = {
        "get_object": "GetObject",
        "head_object": "GetObject",
        "put_object": "PutObject",
        "create_multipart_upload": "PutObject",
        "upload_part": "PutObject",
        "complete_multipart_upload": "PutObject",
        "abort_multipart_upload": "AbortMultipartUpload",
        "delete_object": "DeleteObject",
        "list_objects_v2": "ListBucket",
        "list_multipart_uploads": "ListBucketMultipartUploads",
    }
    call = re.compile(r"\b(?:get|head|put|create|upload|complete|abort|delete|list|copy)_(?:object|multipart|part)\w*")
    sources = (ROOT / "adapters" / "storage" / "s3").glob("*.py")
    calls = {found for path in sources for found in call.findall(path.read_text())}
    assert calls == set(rights)
    page = (ROOT / "entrypoints" / "HARDENING.md").read_text()
    assert set(re.findall(r'"s3:(\w+)"', page)) == set(rights.values())


def test_the_page_on_hardening_names_settings_that_there_are() -> None:
    page = (ROOT / "entrypoints" / "HARDENING.md").read_text()
    named = {name.removesuffix("_FILE") for name in re.findall(r"\b[A-Z]\w*_[A-Z_0-9]+\b", page)} - {"FTP_CA"}
    assert named
    assert named - NAMES == set()


def test_what_tests_are_to_begin_first_is_there() -> None:
    assert [name for name in LONG if not (TESTS / name).exists()] == []
