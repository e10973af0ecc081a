"""Direct calls of route handlers, for requests that have to be quick.

The framework's way to a handler costs more than a small read: it normalises the path, matches it, and makes a task
group for the dependencies of each request. Handlers of fixed paths whose dependencies never change need none of that.
The routes stay registered with the framework, which describes them, and this module takes everything from there.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from litestar import Litestar, Request
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.middleware.raw_paths import BLOB

# The `opt` of a handler that returns an ASGI response, and reads only `scope`, `receive` and `auth` of its request.
DIRECT = {"direct": True}


class DirectRoutes:
    """An ASGI application that calls handlers with `opt=DIRECT` itself, and leaves all others to the framework.

    It takes middleware, dependencies and exception handlers from the framework's routes, and makes dependencies once.
    It comes after RawPathMiddleware, whose paths are exact.
    """

    def __init__(self, framework: Litestar) -> None:
        self._framework = framework
        self._routes = dict(_direct(framework))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None if scope["type"] != ScopeType.HTTP else self._routes.get((scope["method"], scope["path"]))
        await (self._framework if route is None else route)(scope, receive, send)


def _direct(framework: Litestar) -> Iterator[tuple[tuple[str, str], "_Route"]]:
    for route in framework.routes:
        if isinstance(route, HTTPRoute):
            path = BLOB if route.path_parameters else route.path
            for method, (handler, _) in route.route_handler_map.items():
                if handler.opt.get("direct"):
                    yield (method, path), _Route(handler, route.path_format)


class _Route:
    """A handler within its middleware."""

    def __init__(self, handler: HTTPRouteHandler, template: str) -> None:
        self._handler = handler
        self._template = template
        self._call = partial(handler.fn, **_dependencies(handler))
        self._errors = handler.resolve_exception_handlers()
        self._app: ASGIApp = self._respond
        for middleware in handler.resolve_middleware():
            self._app = middleware(app=self._app)  # type: ignore[operator, call-arg]  # as the framework calls it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_handler"] = self._handler
        scope["path_template"] = self._template
        sending = _Sending(send)
        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if sending.has_begun:
                raise
            await self._refuse(error, Request(scope, receive, send))

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._call(request=_Request(scope, receive))
        await response(scope, receive, send)

    async def _refuse(self, error: Exception, request: Request[Any, Any, Any]) -> None:
        handle: Any = next(self._errors[each] for each in type(error).__mro__ if each in self._errors)
        response = handle(request, error).to_asgi_response(app=None, request=request)
        await response(request.scope, request.receive, request.send)


def _dependencies(handler: HTTPRouteHandler) -> dict[str, Any]:
    taken = handler.parsed_fn_signature.parameters
    return {name: made.dependency() for name, made in handler.resolve_dependencies().items() if name in taken}


class _Request(Request[Any, Any, Any]):
    """A request without the framework's state, which takes as long to make as a small file to read."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = cast("HTTPScope", scope)
        self.receive = receive


class _Sending:
    """A `send` that remembers whether the response has begun: then it is too late for another one."""

    __slots__ = ("_send", "has_begun")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)
