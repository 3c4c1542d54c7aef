"""Apps that are kept up: some instances of them are always there, whoever calls them."""

import secrets
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.links.client import RedisClient, Word
from hypha_cluster.protocol.limits import APP_INSTANCES
from hypha_cluster.registry.encoding import flatten
from hypha_cluster.registry.instance import Wanted, files_secret
from hypha_cluster.registry.instances import HISTORY
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_LOOKING: Final = 10_000  # ms between two looks at an app that is kept up
_AGAIN: Final = 300_000  # ms from the failure of such an app to its next start


class Keep(StrEnum):
    """When an app is kept up as is said."""

    ALWAYS = "always"
    NEW = "new"  # unless it is kept up already, as whoever had that done
    KEPT = "kept"  # if it is kept up already


class KeptApps:
    """Apps of which there are always some instances, whatever happens."""

    def __init__(self, redis: RedisClient, keys: Keys, seals: PageSeals) -> None:
        self._seals = seals
        self._keys = keys
        self._keep = Script(redis, "keep_app")
        self._see_to = Script(redis, "see_to_kept")

    async def keep(self, wanted: Wanted, when: Keep = Keep.ALWAYS) -> None:
        """Keep an app up from now on, started like this."""
        user, files = self._seals.seal(wanted.user), files_secret()
        fields = {"app": wanted.app, "user": user, "files": files, **wanted.fields()}
        await self._put(f"{wanted.workspace}/{wanted.app}", when, flatten(fields))

    async def release(self, app_id: str) -> None:
        """Keep an app up no longer; what runs of it goes on."""
        await self._put(app_id, Keep.ALWAYS, [])

    async def _put(self, app_id: str, when: Keep, fields: Iterable[Word]) -> None:
        keys = [self._keys.kept_apps(), self._keys.kept_app(app_id)]
        await self._keep(keys, [app_id, when, *fields])

    async def see_to(self) -> list[str]:
        """Start what is missing; return the addresses of the new instances."""
        keys = self._keys
        new: list[bytes] = await self._see_to(
            keys=[keys.kept_apps(), keys.instances(), keys.entered_states()],
            args=[
                keys.kept_app(),
                keys.instance(),
                keys.instances_of(),
                keys.shared_instances(),
                _LOOKING,
                _AGAIN,
                secrets.token_urlsafe(12),
                APP_INSTANCES,
                keys.instance_history(),
                *HISTORY,
                keys.page(),
            ],
        )
        return [address.decode() for address in new]
