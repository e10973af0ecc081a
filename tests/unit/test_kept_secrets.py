"""Secrets that are made where none are set."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoints.config.kept_secrets import BEARER, MASTER_KEY, KeptSecret, kept_secret

each_name = pytest.mark.parametrize("name", [BEARER, MASTER_KEY])


@each_name
def test_it_is_made_once_and_kept_for_its_owner_only(tmp_path: Path, name: str) -> None:
    secret = kept_secret(tmp_path, name)
    assert secret.is_new
    assert len(secret.text) >= 40
    assert kept_secret(tmp_path, name) == KeptSecret(secret.text, is_new=False)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [name]


@each_name
def test_it_outlives_a_power_cut(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    durable = set[str]()
    sync = os.fsync

    def note(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            durable.update(path.name for path in tmp_path.iterdir())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    kept_secret(tmp_path, name)
    assert durable == {name}


def test_all_processes_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: kept_secret(tmp_path, BEARER), range(64)))
    assert len({secret.text for secret in found}) == 1
    assert sum(secret.is_new for secret in found) == 1, "one of them shows it"
    assert [path.name for path in tmp_path.iterdir()] == [BEARER]


@each_name
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_may_have_no_secret_in_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OSError, match=f"has no {name} in it"):
        kept_secret(tmp_path, name)
