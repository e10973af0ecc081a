"""Rates: of the requests of a key, and of failures to authenticate."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.access.failures import (
    CAPACITY,
    FREE,
    FREE_OF_ALL,
    PAUSED_AT_ONCE,
    WINDOW,
    FailedAuthentications,
    Guesses,
)
from application.access.rates import RequestRates
from application.attempts import Attempt
from domain.access import Action, Grant, Limits
from domain.errors import RateLimited
from tests.attempts import recorded


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def limited(rate: float, key_id: str = "a") -> Grant:
    return Grant(frozenset(Action), key_id=key_id, limits=Limits(requests_per_second=rate))


def is_admitted(rates: RequestRates, grant: Grant) -> bool:
    try:
        rates.admit(grant)
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize("rate", [1, 5, 0.5, 1000])
def test_a_key_may_send_the_requests_of_one_second_at_once(rate: float) -> None:
    clock = Clock()
    rates, grant = RequestRates(clock), limited(rate)
    burst = max(1, int(rate))
    assert sum(is_admitted(rates, grant) for _ in range(burst + 10)) == burst
    with pytest.raises(RateLimited) as raised:
        rates.admit(grant)
    assert raised.value.retry_after == pytest.approx(1 / rate)
    clock.time += raised.value.retry_after
    assert is_admitted(rates, grant)
    assert not is_admitted(rates, grant)
    clock.time += 3600
    assert sum(is_admitted(rates, grant) for _ in range(burst + 10)) == burst, "what is not used is not saved"


def test_other_keys_are_not_affected() -> None:
    rates = RequestRates(Clock())
    assert is_admitted(rates, limited(1, "a"))
    assert is_admitted(rates, limited(1, "b"))
    assert not is_admitted(rates, limited(1, "a"))
    assert all(is_admitted(rates, Grant(frozenset(Action), key_id="c")) for _ in range(100))


def test_a_refused_request_is_recorded() -> None:
    rates, grant = RequestRates(Clock()), limited(1)
    with recorded() as attempts:
        assert is_admitted(rates, grant)
        assert not is_admitted(rates, replace(grant, via="a link"))
    assert attempts == [Attempt("a", "request", "", is_prefix=False, is_granted=False, via="a link")]


@given(pauses=st.lists(st.floats(0, 2), min_size=20, max_size=200), rate=st.floats(0.5, 50))
def test_in_any_time_no_more_are_admitted_than_the_rate_allows(pauses: list[float], rate: float) -> None:
    clock = Clock()
    rates, grant, admitted = RequestRates(clock), limited(rate), 0
    for pause in pauses:
        clock.time += pause
        admitted += is_admitted(rates, grant)
    assert admitted <= (clock.time - 100.0) * rate + max(1, rate) + 1e-6


class Sleeper:
    """Sleeps that the test ends."""

    def __init__(self) -> None:
        self.count = 0
        self.is_over = asyncio.Event()

    async def __call__(self, _: float) -> None:
        self.count += 1
        await self.is_over.wait()


async def test_failures_beyond_the_first_wait_and_only_some_at_once() -> None:
    clock, sleeper = Clock(), Sleeper()
    failures = FailedAuthentications(clock, sleeper)
    for _ in range(FREE):
        await failures.add("10.0.0.1")
    assert sleeper.count == 0
    waiting = [asyncio.create_task(failures.add("10.0.0.1")) for _ in range(PAUSED_AT_ONCE)]
    await asyncio.sleep(0)
    assert sleeper.count == PAUSED_AT_ONCE
    with pytest.raises(RateLimited) as raised:
        await failures.add("10.0.0.1")
    assert raised.value.retry_after == WINDOW
    await failures.add("10.0.0.2")
    sleeper.is_over.set()
    await asyncio.gather(*waiting)
    clock.time += WINDOW
    await failures.add("10.0.0.1")
    assert sleeper.count == PAUSED_AT_ONCE, "a minute later it is free again"


@pytest.mark.parametrize("at_once", [0, 1, 3])
async def test_how_many_wait_at_once_may_be_set(at_once: int) -> None:
    sleeper = Sleeper()
    failures = FailedAuthentications(Clock(), sleeper, paused_at_once=at_once)
    for _ in range(FREE):
        await failures.add("10.0.0.1")
    waiting = [asyncio.create_task(failures.add("10.0.0.1")) for _ in range(at_once)]
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(RateLimited):
            await failures.add("10.0.0.1")
    assert sleeper.count == at_once
    sleeper.is_over.set()
    await asyncio.gather(*waiting)


def is_allowed(guesses: Guesses, link: str, client: str) -> bool:
    try:
        guesses.begin(link, client)
    except RateLimited:
        return False
    return True


class TestGuesses:
    def test_a_client_and_all_clients_have_some_in_a_window(self) -> None:
        clock = Clock()
        guesses = Guesses(clock)
        assert [is_allowed(guesses, "link", "a") for _ in range(FREE + 5)] == [True] * FREE + [False] * 5
        allowed = sum(is_allowed(guesses, "link", f"{number}") for number in range(2 * FREE_OF_ALL))
        assert allowed == FREE_OF_ALL - FREE, "refused ones do not count"
        assert is_allowed(guesses, "another link", "a")
        clock.time += WINDOW - 1
        with pytest.raises(RateLimited) as raised:
            guesses.begin("link", "new")
        assert raised.value.retry_after == pytest.approx(1)
        clock.time += 1
        assert [is_allowed(guesses, "link", "a") for _ in range(FREE + 1)] == [True] * FREE + [False]

    def test_right_ones_are_taken_back(self) -> None:
        guesses = Guesses(Clock())
        for _ in range(2 * FREE_OF_ALL):
            guesses.begin("link", "a")
            guesses.take_back("link", "a")
        guesses.take_back("link", "a")
        assert sum(is_allowed(guesses, "link", "a") for _ in range(2 * FREE)) == FREE, "and give nothing more"

    def test_an_unknown_address_is_one_client(self) -> None:
        guesses = Guesses(Clock())
        assert sum(is_allowed(guesses, "link", "") for _ in range(2 * FREE)) == FREE
        assert is_allowed(guesses, "link", "a")

    def test_one_that_is_forgotten_is_not_taken_back(self) -> None:
        Guesses(Clock()).take_back("link", "a")

    def test_memory_is_bounded(self) -> None:
        guesses = Guesses(Clock())
        for number in range(CAPACITY):
            guesses.begin(f"{number}", "a")
        assert len(guesses._counts) == CAPACITY

    def test_refused_addresses_do_not_make_it_forget(self) -> None:
        guesses = Guesses(Clock())
        allowed = sum(is_allowed(guesses, "link", f"{number}") for number in range(2 * CAPACITY))
        assert allowed == FREE_OF_ALL
