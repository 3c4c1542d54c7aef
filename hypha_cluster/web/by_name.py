"""A short way to routes whose path has a certain second name, past dozens that cannot fit."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from starlette._utils import get_route_path
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, Mount, NoMatchFound
from starlette.types import Receive, Scope, Send

_FOUND: Final = "hypha.found_by_name"  # in the scope of a request
_ANY: Final = ""  # what a name in braces stands for


class ByName(BaseRoute):
    """Stands before other routes, and finds what they would have found.

    path: the paths for which it stands, such as `/{x}/name/…`: all with that second name. Where
    none of the routes matches wholly, the request goes on as if this were not there.
    """

    def __init__(self, path: str, routes: Iterable[BaseRoute]) -> None:
        self.path = path
        self._name = name = path.split("/")[2]
        fitting = [route for route in routes if _names_of(route)[1] in (name, _ANY)]
        firsts = {_names_of(route)[0] for route in fitting} - {_ANY}
        self._others = _beginning_with(_ANY, fitting)
        self._by_first = {first: _beginning_with(first, fitting) for first in firsts}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        names = get_route_path(scope).split("/", 3)
        if names[2:3] == [self._name]:
            for route in self._by_first.get(names[1], self._others):
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    return match, {**child_scope, _FOUND: route}
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[_FOUND].handle(scope, receive, send)


def _beginning_with(first: str, routes: Iterable[BaseRoute]) -> Sequence[BaseRoute]:
    return [route for route in routes if _names_of(route)[0] in (first, _ANY)]


def _names_of(route: BaseRoute) -> tuple[str, str | None]:
    """The first two names of the paths that fit; no second one if they have none."""
    path: str = getattr(route, "path", "")
    names = [_ANY if "{" in name else name for name in path.strip("/").split("/")]
    if ":path}" in path or isinstance(route, Mount):
        names.append(_ANY)
    return names[0], names[1] if len(names) > 1 else None
