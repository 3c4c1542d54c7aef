"""The manager's functions for services: register, list, get (protocol.md 5.3, 5.4, 6.2, 6.3)."""

import contextlib
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from hypha_cluster.errors import BadRequest, ClientAway, ClientLeft, HubError
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.guests import check_offer
from hypha_cluster.hub.manager.visibility import check_visibility, read_visibility
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.hub.selection import matches, parse_query, searched
from hypha_cluster.hub.services import DEFAULT
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.identity.names import check_service_id
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import SERVICE_INFO
from hypha_cluster.registry.encoding import Infos, to_json
from hypha_cluster.registry.services import BUILT_IN, Services
from hypha_cluster.relay.connection import Connection

_log = logging.getLogger(__name__)

LISTED_CONFIG: Final = ("visibility", "require_context", "workspace", "flags")
RECOVERY: Final = "hypha-cluster-recovery"


class ServiceFunctions:
    """What clients call to offer services and to find them."""

    def __init__(self, services: Services, calls: HubCalls, quotas: Quotas) -> None:
        self._registered = services
        self._calls = calls
        self._quotas = quotas

    # Offering.

    async def register_service(
        self, context: Context, service: dict[str, Any], /, overwrite: Any = None, **options: Any
    ) -> dict[str, Any]:
        """Have a client put a service in its place, and return its info (protocol.md 5.3).

        overwrite: JavaScript, which has no named arguments, passes this option by position.
        """
        if overwrite is not None:
            options["overwrite"] = bool(overwrite)
        connection = context.attached()
        _check_service(service)
        config = {**service.get("config", {}), "workspace": context.workspace}
        api = rpc.relayed({**service, "config": config}, context.workspace)
        if service.get("id") not in (None, DEFAULT):  # a default one is set up when announced
            # Else the client would send a list of all that it offers, for one that it names anyway.
            options["notify"] = False
        info = await self._calls.call(
            connection.address, "services.built-in.register_service", [api], options
        )
        if not isinstance(info, dict) or not isinstance(info.get("id"), str):
            raise HubError("The client did not say what it has registered.")
        await self._add(connection, info)
        service_id = info["id"].rpartition(":")[2]
        return {**info, "id": f"{connection.address}:{service_id}"}

    async def _add(self, connection: Connection, info: dict[str, Any]) -> None:
        """Put one service into the registry, unless the client has announced it by itself."""
        put = _read_services([info], connection)
        try:
            async with connection.registering:
                services = connection.services | put
                if not put.items() <= connection.services.items():
                    self._quotas.offer(connection, services)
                    await self._registered.register(connection.attachment, put)
                connection.announce(services, put)
        except ClientLeft:  # it is attached to another gateway, which has to know
            await self.recover(connection)
            for service_id in put:
                if not await self._registered.provider(connection.address, service_id):
                    raise

    async def update_client_info(self, context: Context, client_info: Any) -> None:
        """Take a client's list of its services; it replaces the one before (protocol.md 5.4)."""
        connection = context.attached()
        client = connection.attachment.client
        if not isinstance(client_info, dict) or client_info.get("id") != client:
            raise BadRequest(f"'id' of the client info must be the caller's own, {client!r}.")
        if "services" not in client_info:
            return  # it reports an error, not a change
        infos = _read_services(client_info["services"], connection)
        await self._replace(connection, infos)

    async def _replace(self, connection: Connection, infos: Infos) -> None:
        async with connection.registering:
            known = connection.services
            put = {sid: info for sid, info in infos.items() if known.get(sid) != info}
            remove = [sid for sid in known if sid not in infos]
            if put:
                check_offer(connection.attachment.identity)
            self._quotas.offer(connection, infos)
            if put or remove:
                await self._registered.register(connection.attachment, put, remove)
            connection.announce(infos)
            for service_id in remove:
                connection.announced.pop(service_id, None)
        if DEFAULT in put and DEFAULT not in known:
            await self._set_up(connection.address)

    async def _set_up(self, address: str) -> None:
        """Call `setup` of a default service that has just appeared (protocol.md 5.4)."""
        service = await self._calls.call(address, "services.built-in.get_service", [DEFAULT])
        if isinstance(service, dict) and rpc.is_reference(service.get("setup")):
            await self._calls.call(address, "services.default.setup", [])

    async def recover(self, connection: Connection) -> None:
        """Have a client announce its services again, because the hub has lost its record.

        A client does so whenever a service is registered with it; so it is given one that no
        listing shows.
        """
        probe = {"id": RECOVERY, "type": "built-in", "config": {"visibility": "protected"}}
        method = "services.built-in.register_service"
        try:
            await self._calls.call(connection.address, method, [probe], {"overwrite": True})
        except HubError as error:
            _log.warning("%s could not be asked what it offers: %s", connection.address, error)

    # Finding.

    async def list_services(
        self, context: Context, query: str | dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Infos of the services that a query means, as far as the caller may see them."""
        workspaces, wanted = searched(query, context.workspace)
        home = None if isinstance(query, dict) and query.get("workspace") else context.workspace
        found = await _listed(context, workspaces)
        return [info for info in found if matches(info, wanted, home)]

    async def get_service(
        self, context: Context, query: str | dict[str, Any]
    ) -> dict[str, Any] | None:
        """A service as its provider describes it, ready to be called; None if there is none."""
        options = query if isinstance(query, dict) else {}
        if options.get("launch"):
            return await _get_or_launch(context, options)
        wanted = parse_query(query)
        return None if wanted is None else await _get(context, wanted, options)


async def _get_or_launch(context: Context, query: dict[str, Any]) -> dict[str, Any]:
    found = None
    if query.get("client_name") is None:  # else others may offer it, but are not meant
        wanted = parse_query(query)
        with contextlib.suppress(ClientAway):  # a new one is there sooner
            found = None if wanted is None else await _get(context, wanted, query)
    return found or await context.directory.launched(context, query, context.base_url)


def _get(
    context: Context, wanted: ServiceQuery, options: Mapping[str, Any]
) -> Awaitable[dict[str, Any] | None]:
    return context.directory.get(
        wanted,
        context.workspace,
        inside=(wanted.workspace or context.workspace) == context.home,
        mode=options.get("mode", "random"),
        base_url=context.base_url,
    )


async def _listed(context: Context, workspaces: list[str]) -> list[dict[str, Any]]:
    if workspaces == [PUBLIC]:  # this name stands for all public services of all workspaces
        return await context.directory.public()
    found = []
    for workspace in workspaces:
        inside = await context.may_enter(workspace)
        found += await context.directory.visible(workspace, inside=inside)
    return found


def _check_service(service: object) -> None:
    """Say at once what is wrong with a service, since the client's own warning would reach nobody.

    Only the client can say whether the service exists: it may have been started anew since.
    """
    if not isinstance(service, dict):
        raise BadRequest("A service is a dict (or an object) with an id and functions.")
    if not isinstance(service.get("config", {}), Mapping):
        raise BadRequest("'config' of a service is a dict.")
    service_id = service.get("id")
    if service_id is None:
        return  # the client knows whether it has a default for it
    if not isinstance(service_id, str):
        raise BadRequest(f"A service id is text, not {shown(service_id)}.")
    check_service_id(service_id)
    check_visibility(service.get("config", {}).get("visibility", "protected"))


def _read_services(services: object, connection: Connection) -> Infos:
    if not isinstance(services, list):
        raise BadRequest("'services' of the client info is a list.")
    infos = {}
    for service in services:
        if not isinstance(service, dict) or not isinstance(service.get("id"), str):
            raise BadRequest("Each service of the client info is a dict with an id.")
        service_id = service["id"].removeprefix(f"{connection.attachment.client}:")
        if service_id not in (BUILT_IN, RECOVERY):
            check_service_id(service_id)
            infos[service_id] = _kept(service_id, service, connection)
    return infos


def _kept(service_id: str, service: dict[str, Any], connection: Connection) -> str:
    """What the registry keeps of a service; made once, though clients send it again and again."""
    announced = connection.announced.get(service_id)
    if announced is None or announced[0] != service:
        announced = (service, _to_json(service_id, service, connection))
        connection.announced[service_id] = announced
    return announced[1]


def _to_json(service_id: str, service: dict[str, Any], connection: Connection) -> str:
    """What the registry keeps of a service. The stamp tells one registration from another."""
    config = service.get("config") or {}
    if not isinstance(config, dict):
        raise BadRequest(f"'config' of service {shown(service_id)} is a dict.")
    kept = {key: config[key] for key in LISTED_CONFIG if key in config}
    kept["visibility"] = read_visibility(
        config.get("visibility", "protected"), f"service {service_id}", connection.address
    )
    info = {
        "name": str(service.get("name") or service_id),
        "type": str(service.get("type") or "generic"),
        "description": str(service.get("description") or ""),
        "docs": service.get("docs") or {},
        "config": {**kept, "workspace": connection.attachment.workspace.name},
        "stamp": connection.attachment.holder,
    }
    text = to_json(f"The info of service {shown(service_id)}", info)
    if len(text) > SERVICE_INFO:
        raise BadRequest(
            f"The info of service {shown(service_id)} has more than {SERVICE_INFO} bytes."
        )
    return text
