"""SHA-256 whose state can be kept."""

import hashlib
import random

import pytest

from adapters import hashing
from adapters.hashing import StatelessSha256, sha256

DATA = random.Random(1).randbytes(200_000)  # noqa: S311


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 127, 128, 100_000])
def test_another_hash_goes_on_from_the_state(size: int) -> None:
    first = sha256()
    assert first is not None
    first.update(DATA[:size])
    assert first.digest() == hashlib.sha256(DATA[:size]).digest()
    state = first.state()
    first.update(b"more, after the state was kept")
    second = sha256(state)
    assert second is not None
    second.update(DATA[size:])
    assert second.digest() == second.digest() == hashlib.sha256(DATA).digest()


@pytest.mark.parametrize("state", [b"", b"x" * 200, hashing.TAG, hashing.TAG + bytes(hashing.CONTEXT_SIZE + 1)])
def test_other_states_are_of_no_use(state: bytes) -> None:
    assert sha256(state) is None


def test_without_the_library_hashes_have_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    known = sha256()
    assert known is not None
    monkeypatch.setattr(hashing, "_library", lambda: None)
    found = sha256()
    assert isinstance(found, StatelessSha256)
    found.update(DATA)
    assert (found.digest(), found.state()) == (hashlib.sha256(DATA).digest(), None)
    assert sha256(known.state()) is None
