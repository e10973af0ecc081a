"""The watchdog over a worker's heartbeat: whom it blames, and whom it does not."""

import pytest

from entrypoints.server.heartbeat import BEAT, STALLED_AFTER, Heartbeat, Watchdog


@pytest.fixture
async def heartbeat() -> Heartbeat:
    heartbeat = Heartbeat()
    heartbeat.start()
    return heartbeat


def looks(watchdog: Watchdog, times: list[float]) -> list[bool]:
    return [watchdog.has_stalled(time) for time in times]


async def test_a_worker_that_does_not_beat_any_more_has_stalled(heartbeat: Heartbeat) -> None:
    watchdog = Watchdog(heartbeat)
    assert looks(watchdog, [number * BEAT for number in range(STALLED_AFTER + 1)]) == [False] * STALLED_AFTER + [True]


async def test_one_beat_is_enough(heartbeat: Heartbeat) -> None:
    watchdog = Watchdog(heartbeat)
    for round_ in range(3):
        assert not any(looks(watchdog, [(100 * round_ + number) * BEAT for number in range(STALLED_AFTER)]))
        heartbeat.start()


async def test_a_machine_that_was_suspended_blames_nobody(heartbeat: Heartbeat) -> None:
    assert looks(Watchdog(heartbeat), [0, BEAT, 100_000 * BEAT, 200_000 * BEAT]) == [False] * 4


async def test_looks_in_quick_succession_are_one(heartbeat: Heartbeat) -> None:
    assert not any(looks(Watchdog(heartbeat), [number * BEAT / 1000 for number in range(999)]))


async def test_a_worker_that_starts_or_stops_is_not_judged(heartbeat: Heartbeat) -> None:
    heartbeat.stop()
    for not_judged in (Heartbeat(), heartbeat):
        assert not any(looks(Watchdog(not_judged), [number * BEAT for number in range(3 * STALLED_AFTER)]))
