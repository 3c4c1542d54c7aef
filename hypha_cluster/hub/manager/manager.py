"""The service `default` of every workspace's manager: its functions by name (PROTOCOL 6)."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final

from hypha_cluster.errors import BadRequest, ClientLeft, FunctionNotFound, ServiceNotFound
from hypha_cluster.hub.calls import Call
from hypha_cluster.hub.manager.context import Context
from hypha_cluster.hub.manager.description import ALIASES, FUNCTIONS, describe
from hypha_cluster.hub.manager.services import ServiceFunctions
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.hub.manager.workspaces import WorkspaceFunctions
from hypha_cluster.protocol.limits import LOGGED
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connections import Connection, Connections

_client_log = logging.getLogger("hypha_cluster.client")

Function = Callable[..., Awaitable[Any]]

_MAX_REMEMBERED: Final = 100  # characters of the names of arguments


class Manager:
    """Answers the calls that clients make to `<workspace>/workspace-manager`."""

    def __init__(
        self,
        connections: Connections,
        workspaces: Workspaces,
        services: ServiceFunctions,
        workspace_functions: WorkspaceFunctions,
        tokens: TokenFunctions,
    ) -> None:
        self._connections = connections
        self._workspaces = workspaces
        functions: dict[str, Function] = {
            "echo": _echo,
            **{level: _logger(level) for level in _LEVELS},
            "get_connection_info": tokens.get_connection_info,
            "generate_token": tokens.generate_token,
            "register_service": services.register_service,
            "update_client_info": services.update_client_info,
            "list_services": services.list_services,
            "get_service": services.get_service,
            "create_workspace": workspace_functions.create_workspace,
            "get_workspace_info": workspace_functions.get_workspace_info,
            "set": workspace_functions.set,
            "install_application": workspace_functions.install_application,
            "uninstall_application": workspace_functions.uninstall_application,
            "get_summary": workspace_functions.get_summary,
            "list_clients": workspace_functions.list_clients,
            "list_user_clients": workspace_functions.list_user_clients,
        }
        assert functions.keys() == set(FUNCTIONS)
        self._functions = functions | {alias: functions[name] for alias, name in ALIASES.items()}

    async def answer(self, call: Call) -> Any:
        """Do what a client asks for; what it cannot have is a HubError."""
        connection = self._caller(call)
        function = self._functions.get(call.function)
        if call.service != "default" or function is None:
            raise FunctionNotFound(f"The hub has no function {call.service}.{call.function}.")
        context = Context(call.workspace, connection, self._workspaces)
        kwargs = {key: value for key, value in call.kwargs.items() if key != "_rkwargs"}
        _check_arguments(function, call, kwargs)
        return await function(context, *call.args, **kwargs)

    def _caller(self, call: Call) -> Connection:
        connection = self._connections.get(call.caller.address)
        if connection is None:
            raise ClientLeft(f"{call.caller.address} is no longer attached here.")
        return connection

    def describe(self, call: Call) -> dict[str, Any]:
        """The manager's own service, for whom it is when they have connected."""
        connection = self._caller(call)
        if call.args[:1] != ["default"]:
            raise ServiceNotFound("The hub has no such service; it has 'default'.")
        return describe(call.workspace, connection.base_url)


def _check_arguments(function: Function, call: Call, kwargs: dict[str, Any]) -> None:
    """Match arguments with parameters first, so that a mismatch is the caller's."""
    try:
        check = _check_again if len("".join(kwargs)) <= _MAX_REMEMBERED else _check_shape
        check(function, len(call.args), tuple(kwargs))
    except TypeError as error:
        raise BadRequest(f"{call.function}: {error}") from None


def _check_shape(function: Function, many: int, names: tuple[str, ...]) -> None:
    """TypeError unless a function takes so many arguments, behind the context, and these names."""
    inspect.signature(function).bind(None, *range(many), **dict.fromkeys(names))


_check_again = lru_cache(maxsize=256)(_check_shape)


async def _echo(context: Context, data: Any) -> Any:
    await context.require()
    return data


_LEVELS: Final = {
    "log": logging.INFO,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def _logger(name: str) -> Function:
    async def write(context: Context, msg: Any) -> None:
        await context.require()
        text = _on_one_line(str(msg)[:LOGGED])
        _client_log.log(_LEVELS[name], "%s: %s", context.connection.address, text)

    return write


def _on_one_line(text: str) -> str:
    """So that what a client logs cannot pass for a line of the hub's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
