"""The speed of a store, and of the bare client of the same storage, in turn."""

from collections.abc import Iterator

from tests.benchmarks.clients import Client, Drivebay, seconds
from tests.benchmarks.figures import Figures
from tests.benchmarks.results import Figure
from tests.benchmarks.storages import Storage

MIB = 1024 * 1024
LARGE = 16 * MIB
LARGE_ONES = 4  # in a round
ROUNDS = 5
SMALL = 4 * 1024
SMALL_ONES = 1000
SMALL_GETS = 200
AT_ONCE = 16
SMALL_ROUNDS = 3


async def measure(storage: Storage, figures: Figures) -> None:
    """Print the ratios of the medians."""
    async with storage.store() as store, storage.bare() as bare:
        await store.check()
        ours = Drivebay(store)
        for client in (ours, bare):
            await _large(client)  # so that all of them are connected
        await _compare_large(storage, ours, bare, figures)
        if storage.small:
            await _compare_small(storage, ours, bare, figures)


async def _compare_large(storage: Storage, ours: Client, bare: Client, figures: Figures) -> None:
    times = [(*await _large(ours), *await _large(bare)) for _ in range(ROUNDS)]  # in turn: noise is shared then
    our_puts, our_gets, bare_puts, bare_gets = _rates(times, LARGE_ONES * LARGE / MIB)
    for verb, our, theirs in (("put", our_puts, bare_puts), ("get", our_gets, bare_gets)):
        work = f"{storage.name}, {verb} of 16 MiB"
        figure = Figure.of_rounds(work, "MiB/s", our, storage.rival, theirs, storage.goal)
        figures.record(figure, storage.bound)


async def _large(client: Client) -> tuple[float, float]:
    """Return the seconds to put and to get some, one after another."""
    names = [f"large-{number}" for number in range(LARGE_ONES)]
    data = _data(LARGE)
    put, get = await seconds(client.put(names, data)), await seconds(client.get(names))
    await client.delete(names)
    return put, get


async def _compare_small(storage: Storage, ours: Client, bare: Client, figures: Figures) -> None:
    times = [(*await _small(ours), *await _small(bare)) for _ in range(SMALL_ROUNDS)]
    our_puts, _, bare_puts, _ = _rates(times, SMALL_ONES)
    _, our_gets, _, bare_gets = _rates(times, SMALL_GETS)
    puts, gets = f"{storage.name}, puts of 4 KiB, {AT_ONCE} at once", f"{storage.name}, gets of 4 KiB"
    figure = Figure.of_rounds(puts, "objects/s", our_puts, storage.rival, bare_puts, storage.goal)
    figures.record(figure, storage.bound)
    figures.record(Figure.of_rounds(gets, "objects/s", our_gets, storage.rival, bare_gets, storage.goal))


async def _small(client: Client) -> tuple[float, float]:
    """Return the seconds to put all, some at the same time, and to get some of them, one after another."""
    names = [f"small-{number}" for number in range(SMALL_ONES)]
    put = await seconds(client.put(names, _data(SMALL), AT_ONCE))
    get = await seconds(client.get(names[:SMALL_GETS]))
    await client.delete(names)
    return put, get


def _rates(times: list[tuple[float, float, float, float]], amount: float) -> Iterator[list[float]]:
    """The rates of each column."""
    return ([amount / time for time in column] for column in zip(*times, strict=True))


def _data(size: int) -> bytes:
    return bytes(range(256)) * (size // 256)
