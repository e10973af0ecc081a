"""The sizes of the messages in which large responses are sent."""

from contextlib import ExitStack

import pytest

from entrypoints.http.protocol.large_responses import LARGEST, SHARED, SMALLEST, LargeResponses

CHUNK = bytes(range(256)) * 3 * 5 * 1024 + b"end"


@pytest.mark.parametrize(
    ("responses", "most"),
    [(1, LARGEST), (3, LARGEST), (6, LARGEST // 2), (16, SHARED // 16), (1000, SMALLEST)],
)
def test_many_responses_have_small_messages(responses: int, most: int) -> None:
    large = LargeResponses()
    with ExitStack() as stack:
        for _ in range(responses):
            stack.enter_context(large)
        messages = [*large.messages(CHUNK)]
        assert b"".join(messages) == CHUNK
        assert max(map(len, messages)) <= most
        assert min(map(len, messages)) > most / 2
    with large:
        assert max(map(len, large.messages(CHUNK))) > LARGEST / 2


def test_a_small_chunk_is_not_copied() -> None:
    with LargeResponses() as large:
        [message] = large.messages(CHUNK[: LARGEST - 1])
        [same] = large.messages(message)
        assert same is message
