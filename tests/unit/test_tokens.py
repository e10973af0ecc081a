"""The token that is made where none is given."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoints.config.token_file import KeptToken, kept_token


def test_it_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    assert token.is_new
    assert len(token.text) >= 40
    assert kept_token(tmp_path) == KeptToken(token.text, is_new=False)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(kept_token, [tmp_path] * 64))
    assert len({token.text for token in tokens}) == 1
    assert sum(token.is_new for token in tokens) == 1, "one of them shows it"
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_may_have_no_token_in_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(OSError, match="has no token in it"):
        kept_token(tmp_path)
