"""The port to whoever counts requests, and their labels."""

from abc import abstractmethod
from typing import Protocol

from litestar.types import HTTPScope

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})


class Requests(Protocol):
    """A sink for statistics about requests."""

    @abstractmethod
    def began(self) -> None:
        """A request is under way."""

    @abstractmethod
    def answered(self, method: str, route: str, status: int, seconds: float, received: int, sent: int) -> None:
        """It has come to its end. `status` is 0 if there was no answer; `received` and `sent` are the bodies' bytes.

        Of `method` and `route` there are few: see `method_of` and `route_of`.
        """


def method_of(scope: HTTPScope) -> str:
    """The method, or _OTHER: clients may send any."""
    return scope["method"] if scope["method"] in METHODS else "_OTHER"


def route_of(scope: HTTPScope) -> str:
    """The template of the route that has answered, or unknown."""
    return scope.get("path_template", "unknown")
