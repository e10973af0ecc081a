"""An operation of the OpenAPI document, described next to its handler.

Handlers read and respond as raw ASGI, which the framework does not see. tests/http/test_openapi.py verifies that the
descriptions agree with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIResponse, Operation, Parameter, RequestBody


def operation(
    responses: Mapping[str, OpenAPIResponse], takes: Sequence[Parameter] = (), body: RequestBody | None = None
) -> type[Operation]:
    """Return a class of operations with this description, in place of the framework's."""

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*takes] or None
            self.request_body = body
            self.responses = {**responses}

    return Described
