"""Work that is done again and again."""

import asyncio

import pytest
from structlog.testing import capture_logs

from entrypoints.background import AT_ONCE, every, in_background

NEVER = 10**6  # seconds: longer than any test


class Rounds:
    """Work whose rounds go as `outcomes` say: a pause, or an error. Further ones end it by never returning."""

    def __init__(self, *outcomes: float | Exception | None) -> None:
        self._outcomes = iter(outcomes)
        self.all_begun = asyncio.Event()

    async def __call__(self) -> float | None:
        try:
            outcome = next(self._outcomes)
        except StopIteration:
            self.all_begun.set()
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def done(rounds: Rounds, interval: float) -> None:
    async with in_background(every(interval, rounds, "the rounds failed", storage="fs")), asyncio.timeout(10):
        await rounds.all_begun.wait()


async def test_it_is_done_at_once_while_there_is_more_to_do() -> None:
    await done(Rounds(AT_ONCE, AT_ONCE), NEVER)


async def test_it_is_done_again_after_the_interval() -> None:
    await done(Rounds(None, None), 0)


async def test_it_may_choose_its_own_pause() -> None:
    await done(Rounds(0.001), NEVER)


@pytest.mark.parametrize("outcome", [None, ValueError("a bug")], ids=["success", "failure"])
async def test_it_pauses_for_the_interval(outcome: Exception | None) -> None:
    rounds = Rounds(outcome)
    async with in_background(every(NEVER, rounds, "the rounds failed")):
        for _ in range(20):
            await asyncio.sleep(0)
        assert not rounds.all_begun.is_set()


async def test_a_failure_is_logged_and_does_not_end_it() -> None:
    with capture_logs() as logged:
        await done(Rounds(ValueError("a bug"), None), 0)
    assert [(line["event"], line["storage"], line["log_level"]) for line in logged] == [
        ("the rounds failed", "fs", "error")
    ]


async def test_a_cancelled_round_is_no_failure() -> None:
    with capture_logs() as logged:
        await done(Rounds(), 0)
    assert logged == []
