"""The port for statistics of requests, and the values of labels."""

from abc import abstractmethod
from typing import Protocol

from litestar.types import HTTPScope

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})


class Requests(Protocol):
    """A sink for statistics about requests."""

    @abstractmethod
    def began(self) -> None:
        """Count the start of a request."""

    @abstractmethod
    def answered(self, method: str, route: str, status: int, seconds: float, received: int, sent: int) -> None:
        """Count the end of a request. `status` is 0 without a response; `received` and `sent` are sizes of bodies.

        `method` and `route` have few values: see `method_of` and `route_of`.
        """


def method_of(scope: HTTPScope) -> str:
    """Return the method, or `_OTHER` if it is not a standard one."""
    return scope["method"] if scope["method"] in METHODS else "_OTHER"


def route_of(scope: HTTPScope) -> str:
    """Return the template of the request's route, or `unknown`."""
    return scope.get("path_template", "unknown")
