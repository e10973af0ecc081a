"""What stands at /metrics."""

import time
from collections.abc import Callable

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.http.server import PATIENCE, Server


class Scrape:
    """One look at the metrics of a server."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, among others. 0 without any."""
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def names(self) -> set[str]:
        """Of all samples, and of the families that have none yet."""
        samples = {sample.name for family in self.families for sample in family.samples}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        empty = {family.name + suffix for family in self.families for suffix in suffixes.get(family.type, [""])}
        return samples | empty

    def label_values(self) -> set[str]:
        return {value for family in self.families for sample in family.samples for value in sample.labels.values()}


def scrape(server: Server) -> Scrape:
    answer = httpx.get(f"{server.url}/metrics", timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


def scrape_until(server: Server, reached: Callable[[Scrape], bool]) -> Scrape:
    """The first look at which that is so. A page is up to a second old, and one of several workers up to two."""
    deadline = time.monotonic() + PATIENCE
    while not reached(found := scrape(server)):
        assert time.monotonic() < deadline, found.text
        time.sleep(0.1)
    return found
