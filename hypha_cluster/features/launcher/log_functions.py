"""Functions of `server-apps` for what instances have logged, and what has become of them."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.arguments import asked_workspace, check_client, check_named
from hypha_cluster.features.launcher.following import Following, written
from hypha_cluster.hub.context import Context
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_LOG
from hypha_cluster.registry.instance_logs import KINDS, Cursor, InstanceLogs
from hypha_cluster.registry.instances import Instances

_LONGEST_WAIT: Final = 25.0  # seconds, so that nobody on the way gives up before


class LogFunctions:
    """Reads logs, of what runs and of what is over."""

    def __init__(self, instances: Instances, logs: InstanceLogs, following: Following) -> None:
        self._instances = instances
        self._logs = logs
        self._following = following

    async def get_log(
        self,
        context: Context,
        client_id: Any,
        type: Any = None,
        offset: Any = 0,
        limit: Any = None,
        workspace: Any = None,
    ) -> Any:
        """What a page has logged: of one type a list of texts, else a dict of all types."""
        address = await self._logged(context, client_id, workspace)
        start, many = _natural("offset", offset), _natural("limit", limit, APP_LOG)
        if type is not None:
            entries = await self._logs.read(address, str(type), start, many)
            return [entry.text for entry in entries]
        found = await self._logs.all(address)
        return {kind: [entry.text for entry in entries] for kind, entries in found.items()}

    async def logs(  # noqa: PLR0913  # the last two are for who follows
        self,
        context: Context,
        client_id: Any,
        offset: Any = 0,
        limit: Any = None,
        workspace: Any = None,
        after: Any = None,
        wait: Any = 0,
    ) -> dict[str, Any]:
        """The same of all types by time: `{items, total, offset, limit}`, with times and types.

        To follow it, ask for what comes `after` a cursor, "" at first: `{items, cursor}`, as soon
        as there is some, and when `wait` seconds have passed in any case.
        """
        address = await self._logged(context, client_id, workspace)
        if after is not None:
            user = context.identity.family
            return await self._more(address, _cursor(after), user, _patience(wait))
        start, many = _natural("offset", offset), _natural("limit", limit, APP_LOG)
        found = await self._logs.all(address)
        entries = sorted(each for kind in KINDS for each in found.get(kind, ()))
        items = [
            {"time": entry.at, "type": entry.kind, "text": entry.text}
            for entry in entries[start : start + many]
        ]
        return {"items": items, "total": len(entries), "offset": start, "limit": many}

    async def history(
        self, context: Context, client_id: Any, workspace: Any = None
    ) -> list[dict[str, Any]]:
        """What has become of an instance, from its start on: `{time, from, to, epoch, …}`.

        `epoch` counts its pages, one after the other; `runner` opened the page.
        """
        address = await self._logged(context, client_id, workspace)
        return [
            {
                "time": step.at,
                "from": step.before,
                "to": step.after,
                "epoch": step.epoch,
                "runner": step.runner,
                "reason": step.reason,
            }
            for step in await self._instances.history(address)
        ]

    async def _more(
        self, address: str, cursor: Cursor, user: str, patience: float
    ) -> dict[str, Any]:
        found = await self._following.more(address, cursor, user, patience)
        end = found[-1][1] if found else cursor
        return {"items": [written(*each) for each in found], "cursor": str(end)}

    async def follow(
        self, context: Context, client_id: Any, after: Any = "", workspace: Any = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """What an instance has logged, and logs until it is over, as a stream; over HTTP only.

        Items of the type `state` say what it is doing. Whoever is cut off comes back `after` the
        cursor of the last item that they have got, to any gateway.
        """
        if context.connection is not None:
            raise BadRequest("A stream is for HTTP; ask for logs(client_id, after=…, wait=…).")
        address = await self._logged(context, client_id, workspace)
        return self._following.follow(address, _cursor(after), context.identity.family)

    async def _logged(self, context: Context, client_id: Any, workspace: Any) -> str:
        check_named(context)
        place = await asked_workspace(context, workspace)
        address = f"{place}/{check_client(client_id)}"
        await self._instances.get(address)
        return address


def _natural(name: str, value: Any, default: int = 0) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(f"{name!r} is a number of entries, not {shown(value)}.")
    return min(value, APP_LOG)


def _cursor(value: Any) -> Cursor:
    if not isinstance(value, str):
        raise BadRequest(f"'after' is the cursor of an entry, not {shown(value)}.")
    return Cursor.of(value)


def _patience(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise BadRequest(f"'wait' is a number of seconds, not {shown(value)}.")
    return min(float(value), _LONGEST_WAIT)
