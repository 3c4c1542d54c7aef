"""The unit tests mirror the package, but for what needs Redis, sockets or a whole node."""

from pathlib import Path

import hypha_cluster

PACKAGE = Path(hypha_cluster.__file__).parent
ELSEWHERE = {  # module or package: tested in tests/integration, tests/conformance or tests/cluster
    "__main__", "app", "node", "server", "telemetry", "api",
    "manager/context", "manager/description", "manager/manager", "manager/services",
    "manager/tokens", "manager/workspaces",
    "relay/bus", "relay/calls", "relay/clients", "relay/drain", "relay/handover", "relay/mail",
    "relay/peer", "relay/placing", "relay/presence", "relay/publisher", "relay/router",
    "relay/subscriptions", "relay/tracing",
    "serving/embedded", "serving/http_connection", "serving/http_exchange", "serving/http_server",
    "serving/keep_alive", "serving/run", "serving/status", "serving/workers",
    "serving/websocket_connection", "serving/websocket_stream", "serving/websocket_upgrade",
    "store/commands", "store/connection", "store/encoding", "store/lasting_link", "store/link",
    "store/mailboxes", "store/nodes", "store/public", "store/registry", "store/servers",
    "store/services", "store/shard", "store/tokens", "store/workspaces",
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
