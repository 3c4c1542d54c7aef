"""The hub's service `server-apps`: what clients call to install apps and to run them."""

from typing import Final

from hypha_cluster.features.launcher.app_functions import AppFunctions
from hypha_cluster.features.launcher.instance_functions import InstanceFunctions
from hypha_cluster.features.launcher.log_functions import LogFunctions
from hypha_cluster.hub.services import HubService

_SERVICE: Final = "server-apps"


def server_apps(apps: AppFunctions, instances: InstanceFunctions, logs: LogFunctions) -> HubService:
    """The functions of `server-apps`, with the original's arguments first, then the hub's own."""
    return HubService(
        id=_SERVICE,
        name="Server Apps",
        description="Installs apps, and runs them in browsers on the server.",
        type=_SERVICE,
        functions={
            "install": apps.install,
            "uninstall": apps.uninstall,
            "launch": instances.launch,
            "start": instances.start,
            "stop": instances.stop,
            "list_apps": apps.list_apps,
            "list_running": instances.list_running,
            "get_log": logs.get_log,
            "edit": apps.edit,
            "list_versions": apps.list_versions,
            "rollback": apps.rollback,
            "stop_all": instances.stop_all,
            "logs": logs.logs,
            "history": logs.history,
            "follow": logs.follow,
            "get_source": apps.get_source,
            "parse": apps.parse,
        },
        config={"require_context": True},
        launch=instances.launch_for_query,
        applications=apps.applications,
    )
