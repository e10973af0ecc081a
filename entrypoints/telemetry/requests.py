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

        `method` and `route` have few values: see `labels_of`.
        """

    @abstractmethod
    def refused(self, method: str, route: str) -> None:
        """Count a request without valid credentials, which `answered` counts too."""


def labels_of(scope: HTTPScope) -> tuple[str, str]:
    """Return the method, or `_OTHER` if it is not a standard one, and the template of the route, or `unknown`."""
    method = scope["method"]
    return method if method in METHODS else "_OTHER", scope.get("path_template", "unknown")
