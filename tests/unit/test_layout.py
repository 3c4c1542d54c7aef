"""The unit tests mirror the package, but for what only wires."""

from pathlib import Path

import pytest

import hypha_cluster

PACKAGE = Path(hypha_cluster.__file__).parent
TESTS = Path(__file__).parents[1]
WIRING = {  # nothing but constructors, and declarations
    "__main__", "app", "server", "signing", "telemetry", "wiring",
    "features/launcher/launcher", "features/launcher/terms", "features/login/login",
    "features/pages/pages", "features/webapps/webapps",
    "relay/allowance", "relay/bus", "relay/sockets", "web/middleware/stack",
}  # fmt: skip


def modules() -> list[str]:
    found = (each.relative_to(PACKAGE).with_suffix("") for each in PACKAGE.rglob("[!_]*.py"))
    return sorted(each.as_posix() for each in found)


def mirror(module: str) -> Path:
    name = Path(module)
    return TESTS / "unit" / name.parent / f"test_{name.name}.py"


def test_every_other_module_has_its_unit_tests() -> None:
    missing = [
        module for module in modules() if module not in WIRING and not mirror(module).exists()
    ]

    assert missing == []


@pytest.mark.parametrize("module", sorted(WIRING))
def test_what_only_wires_is_there_and_has_none(module: str) -> None:
    assert (PACKAGE / f"{module}.py").exists()
    assert not mirror(module).exists(), "it needs no exemption any more"
