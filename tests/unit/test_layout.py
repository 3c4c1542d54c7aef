"""The unit tests mirror the package, but for what needs Redis, sockets or a whole node."""

from pathlib import Path

import hypha_cluster

PACKAGE = Path(hypha_cluster.__file__).parent
ELSEWHERE = {  # module or package: tested in tests/integration, tests/conformance or tests/cluster
    "__main__", "app", "node", "server", "telemetry", "wiring",
    "commands/apps", "commands/completion", "commands/status", "commands/token", "commands/users",
    "features/login",
    "features/pages/hub_page", "features/pages/looking", "features/pages/pages",
    "features/pages/apps_page", "features/pages/old_pages", "features/pages/playground",
    "features/pages/workspace_page",
    "features/launcher/following", "features/launcher/installing", "features/launcher/keeping",
    "features/launcher/launcher",
    "features/launcher/pages",
    "features/launcher/running/browser", "features/launcher/running/hosting",
    "features/launcher/running/process", "features/launcher/running/runner",
    "features/launcher/service", "features/launcher/starting", "features/launcher/terms",
    "features/launcher/tidying", "registry/instance_history",
    "commands/runner", "serving/runner",
    "registry/apps", "registry/instances", "registry/instance_calls", "registry/instance_logs",
    "features/webapps/asgi", "features/webapps/functions", "features/webapps/webapps",
    "relay/bus", "relay/listener", "relay/publisher", "relay/spans",
    "serving/embedded",
    "serving/http11/connection", "serving/http11/exchange", "serving/http11/keep_alive",
    "serving/http11/server", "serving/http11/websocket_connection",
    "serving/http11/websocket_stream", "serving/http11/websocket_upgrade",
    "web/middleware/stack", "web/middleware/tracing",
    "web/reception", "web/services", "web/sse", "web/websocket",
}  # fmt: skip


def test_every_other_module_has_its_unit_tests() -> None:
    here = Path(__file__).parent
    missing = []
    for module in sorted(PACKAGE.rglob("[!_]*.py")):
        name = module.relative_to(PACKAGE).with_suffix("")
        exempt = {name.as_posix(), name.parent.as_posix()} & ELSEWHERE
        if not exempt and not (here / name.parent / f"test_{name.name}.py").exists():
            missing.append(name.as_posix())

    assert missing == []
