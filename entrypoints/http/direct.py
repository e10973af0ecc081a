"""Direct calls of route handlers, for requests that have to be quick.

The framework's way to a handler costs more than a small read: it normalises the path, matches it, and makes a task
group for the dependencies of each request. Handlers of fixed paths whose dependencies never change need none of that.
The routes stay registered with the framework, which describes them, and this module takes everything from there.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from entrypoints.http.middleware.base.exchange import Exchange, Responder
from entrypoints.http.middleware.routes.guard import GuardMiddleware
from entrypoints.http.protocol.urls.blob_paths import PREFIX

# The `opt` of a handler that returns an ASGI response, and reads only `scope`, `receive` and `auth` of its request.
DIRECT = {"direct": True}


class DirectRoutes:
    """A router that calls handlers with `opt=DIRECT` itself, and leaves all other requests to `other`.

    It takes guards, dependencies and exception handlers from the framework's routes, and makes dependencies once.
    """

    def __init__(self, framework: Litestar, other: Responder) -> None:
        self._other = other
        self._routes = dict(_direct(framework))

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        scope = exchange.scope
        raw_path = scope["raw_path"]
        route = self._routes.get((scope["method"], PREFIX if raw_path.startswith(PREFIX) else raw_path))
        return (self._other if route is None else route)(exchange)


def _direct(framework: Litestar) -> Iterator[tuple[tuple[str, bytes], "_Route"]]:
    for route in framework.routes:
        if isinstance(route, HTTPRoute):
            path = PREFIX if route.path_parameters else route.path.encode()
            for method, (handler, _) in route.route_handler_map.items():
                if handler.opt.get("direct"):
                    yield (method, path), _Route(handler, route.path_format)


class _Route:
    """A handler within its guards."""

    def __init__(self, handler: HTTPRouteHandler, template: str) -> None:
        self._handler = handler
        self._template = template
        self._call = partial(handler.fn, **_dependencies(handler))
        self._errors = handler.resolve_exception_handlers()
        guards = [*_guards(handler)]
        self._enter = [guard.enter for guard in guards]
        # By the number of guards that have admitted the request.
        self._leave = [_leave(guards[:count]) for count in range(len(guards) + 1)]

    async def __call__(self, exchange: Exchange) -> None:
        scope = exchange.scope
        scope["route_handler"] = self._handler
        scope["path_template"] = self._template
        admitted = 0
        try:
            try:
                for enter in self._enter:
                    pending = enter(scope)
                    if pending is not None:
                        await pending
                    admitted += 1
                exchange.auth = scope.get("auth")
                response = await self._call(request=exchange)
                await response(scope, exchange.receive, exchange.send)
            finally:
                for leave in self._leave[admitted]:
                    leave()
        except Exception as error:
            if exchange.status:  # it is too late for another response
                raise
            await self._refuse(error, exchange)

    async def _refuse(self, error: Exception, exchange: Exchange) -> None:
        handle: Any = next(self._errors[each] for each in type(error).__mro__ if each in self._errors)
        request: Request[Any, Any, Any] = Request(exchange.scope, exchange.receive, exchange.send)
        response = handle(request, error).to_asgi_response(app=None, request=request)
        await response(exchange.scope, exchange.receive, exchange.send)


def _dependencies(handler: HTTPRouteHandler) -> dict[str, Any]:
    taken = handler.parsed_fn_signature.parameters
    return {name: made.dependency() for name, made in handler.resolve_dependencies().items() if name in taken}


def _guards(handler: HTTPRouteHandler) -> Iterator[GuardMiddleware]:
    for middleware in reversed(handler.resolve_middleware()):
        guard = middleware(app=handler)
        assert isinstance(guard, GuardMiddleware), f"{middleware} would not be called"
        yield guard


def _leave(guards: Sequence[GuardMiddleware]) -> Sequence[Callable[[], None]]:
    return [guard.leave for guard in reversed(guards) if type(guard).leave is not GuardMiddleware.leave]
