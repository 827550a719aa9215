"""The short way to a route: found by method and path in one step, and called with the request alone.

FastAPI looks for a route by the patterns of all, and prepares for each request what our routes never ask for: that took
as long as all of our own work on a text from the cache. It still describes the routes, and has those with parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, request_response
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRoutes(BaseRoute):
    """One entry of the routing table, for all routes whose function takes the request alone and that nothing guards."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        """routes: in the order in which they are looked for."""
        self.found: dict[tuple[str, str], tuple[APIRoute, ASGIApp]] = {}
        earlier: list[APIRoute] = []
        for route in routes:
            if _takes_the_request_alone(route):
                for method in (route.methods or set()) - _taken(route.path, earlier):
                    self.found[method, route.path] = route, request_response(route.endpoint)
            earlier.append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        key = scope.get("method", ""), scope["path"]
        if key not in self.found or scope.get("root_path"):
            return Match.NONE, {}
        return Match.FULL, {"route": self.found[key][0], "path_params": {}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, app = self.found[scope["method"], scope["path"]]
        await app(scope, receive, send)


def _takes_the_request_alone(route: APIRoute) -> bool:
    """A dependency, also one of its router, may refuse a request: such a route stays FastAPI's."""
    parameters = list(inspect.signature(route.endpoint).parameters)
    is_guarded = route.dependencies or route.dependant.dependencies
    return parameters == ["request"] and "{" not in route.path and not is_guarded


def _taken(path: str, routes: Iterable[APIRoute]) -> set[str]:
    """The methods for which one of the routes answers at the path."""
    return {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
