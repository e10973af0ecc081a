"""How fast a store is, beside the bare client of the same storage, by turns."""

from statistics import median

from tests.benchmarks.clients import Client, Drivebay, seconds
from tests.benchmarks.figures import Figures
from tests.benchmarks.storages import Storage

MIB = 1024 * 1024
LARGE = 16 * MIB
LARGE_ONES = 4  # in a round
ROUNDS = 5
UNBOUND_ROUNDS = 2  # where the figures are only told
SMALL = 4 * 1024
SMALL_ONES = 1000
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
    rounds = ROUNDS if storage.bound else UNBOUND_ROUNDS
    times = [(*await _large(ours), *await _large(bare)) for _ in range(rounds)]  # by turns, as noise is shared then
    our_put, our_get, bare_put, bare_get = (median(column) for column in zip(*times, strict=True))
    for verb, our, theirs in (("put", our_put, bare_put), ("get", our_get, bare_get)):
        rate, theirs_rate = (LARGE_ONES * LARGE / MIB / time for time in (our, theirs))
        what = f"{storage.name}, {verb} of 16 MiB: {rate:,.0f} MiB/s, {storage.rival} {theirs_rate:,.0f} MiB/s, ratio"
        figures.at_least(what, rate / theirs_rate, storage.bound)


async def _large(client: Client) -> tuple[float, float]:
    """How long it takes to put and to get some, one after another."""
    names = [f"large-{number}" for number in range(LARGE_ONES)]
    data = _data(LARGE)
    put, get = await seconds(client.put(names, data)), await seconds(client.get(names))
    await client.delete(names)
    return put, get


async def _compare_small(storage: Storage, ours: Client, bare: Client, figures: Figures) -> None:
    times = [(await _small(ours), await _small(bare)) for _ in range(SMALL_ROUNDS)]
    rate, theirs = (SMALL_ONES / median(column) for column in zip(*times, strict=True))
    what = f"{storage.name}, puts of 4 KiB, {AT_ONCE} at once: {rate:,.0f}/s, {storage.rival} {theirs:,.0f}/s, ratio"
    figures.at_least(what, rate / theirs, storage.bound)


async def _small(client: Client) -> float:
    """How long it takes to put all."""
    names = [f"small-{number}" for number in range(SMALL_ONES)]
    time = await seconds(client.put(names, _data(SMALL), AT_ONCE))
    await client.delete(names)
    return time


def _data(size: int) -> bytes:
    return bytes(range(256)) * (size // 256)
