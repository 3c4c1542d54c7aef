"""The unit tests mirror the package, but for what only wires, and what works with a whole node."""

from pathlib import Path

import pytest

import hypha_cluster

PACKAGE = Path(hypha_cluster.__file__).parent
TESTS = Path(__file__).parents[1]
WIRING = {  # nothing but constructors, and declarations
    "__main__", "app", "server", "telemetry", "wiring",
    "features/launcher/launcher", "features/launcher/terms", "features/login/login",
    "features/pages/pages", "features/webapps/webapps",
    "relay/allowance", "relay/bus", "relay/sockets", "web/middleware/stack",
}  # fmt: skip
# A module or a package that is tested by its contract with Redis, a browser, clients or a socket →
# which tests hold it.
ELSEWHERE = {
    "node": "integration/test_nodes",
    "serving/http11/server": "integration/test_http_conformance",
    "serving/http11/websocket_stream": "integration/test_sockets",
}


def modules() -> list[str]:
    found = (each.relative_to(PACKAGE).with_suffix("") for each in PACKAGE.rglob("[!_]*.py"))
    return sorted(each.as_posix() for each in found)


def mirror(module: str) -> Path:
    name = Path(module)
    return TESTS / "unit" / name.parent / f"test_{name.name}.py"


def test_every_other_module_has_its_unit_tests() -> None:
    missing = [
        module
        for module in modules()
        if not {module, str(Path(module).parent)} & (WIRING | ELSEWHERE.keys())
        and not mirror(module).exists()
    ]

    assert missing == []


@pytest.mark.parametrize(("module", "tests"), ELSEWHERE.items())
def test_what_holds_the_others_is_named(module: str, tests: str) -> None:
    assert (PACKAGE / f"{module}.py").exists() or (PACKAGE / module).is_dir()
    assert (TESTS / f"{tests}.py").exists()
    assert not mirror(module).exists(), "it needs no exemption any more"
