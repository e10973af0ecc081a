"""Names that are not settings, but look like them. Without a word, a typo would have no effect."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches

SLIP, SIMILAR = 0.9, 0.7  # of difflib's ratio
# What Kubernetes, and Docker's links, put into NAME_PORT for a service NAME.
ADDRESS = re.compile(r"(tcp|udp|sctp)://")
OTHERS = ("COMPOSE_", "DRIVEBAY_", "OTEL_")  # families of names, most of which are read by other programs


@dataclass(frozen=True, slots=True)
class Source:
    """Names and values in one place. `is_ours`: it was written for Drivebay, as the environment was not."""

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
    if name.startswith("AWS_"):  # which S3's client reads itself
        return []
    return get_close_matches(name, known, n=1, cutoff=SLIP)
