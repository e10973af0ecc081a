"""Hints about names that are not settings, but look like them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches

SLIP, SIMILAR = 0.9, 0.7  # of difflib's ratio
# The value of NAME_PORT that Kubernetes, and Docker's links, set for a service NAME.
ADDRESS = re.compile(r"(tcp|udp|sctp)://")
OTHERS = ("COMPOSE_", "DRIVEBAY_", "OTEL_")  # families of names, most of which are read by other programs


@dataclass(frozen=True, slots=True)
class Source:
    """Names and values in one place. `is_ours`: written for Drivebay, unlike the environment."""

    place: str
    values: Mapping[str, str | None]
    is_ours: bool


def hints(known: Set[str], sources: Iterable[Source]) -> Iterator[str]:
    """Yield a line for each name that is close to one of `known`.

    The environment holds the names of many programs, so there only a slip of the keyboard counts.
    """
    for source in sources:
        for name in source.values.keys() - known:
            if guesses := _in_file(name, known) if source.is_ours else _in_environment(name, known):
                guess = " or ".join(guesses)
                yield f"{name} in {source.place} is not a setting, and has no effect. Did you mean {guess}?"


def _in_file(name: str, known: Set[str]) -> list[str]:
    return get_close_matches(name.upper(), known, n=2, cutoff=SLIP if name.startswith(OTHERS) else SIMILAR)


def _in_environment(name: str, known: Set[str]) -> list[str]:
    if name.startswith("AWS_"):  # read by the client of S3
        return []
    return get_close_matches(name, known, n=1, cutoff=SLIP)
