"""Routers of the faces."""

from typing import Any, Self

from litestar import Router


class FaceRouter(Router):
    """A router that belongs to one application. The framework would copy it, with all that is in it, at each level.

    Register it once: copies exist so that a router can be registered twice.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
