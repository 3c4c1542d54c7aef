"""The table of packages, and the addresses that pages use."""

from pathlib import Path

import pytest

from hypha_cluster.web import assets
from hypha_cluster.web.assets.catalogue import (
    FOLDER,
    PACKAGES,
    Package,
    find,
    how_to_get,
    is_complete,
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.label)
def test_every_package_is_pinned_and_has_its_licence(package: Package) -> None:
    assert package.integrity.startswith("sha512-")
    assert {"LICENSE", "package.json"} & set(package.files) or package.is_wheel
    assert all(".." not in file and not file.startswith("/") for file in package.files)


def test_the_client_is_part_of_the_source() -> None:
    assert assets.is_there("imjoy-rpc")
    text = (FOLDER / "imjoy-rpc@0.5.59/LICENSE").read_text()
    assert "MIT License" in text


def test_the_address_of_a_file_names_its_version() -> None:
    path = "dist/hypha-rpc-websocket.min.js"

    assert assets.url("imjoy-rpc", path) == f"/assets/imjoy-rpc@0.5.59/{path}"
    assert assets.url("imjoy-rpc", path, "0.5.9") == f"/assets/imjoy-rpc@0.5.9/{path}"


@pytest.mark.parametrize(
    "asked",
    [("imjoy-rpc", "no.js"), ("nothing", "LICENSE"), ("imjoy-rpc", "LICENSE", "0.0.1")],
    ids=str,
)
def test_what_the_hub_does_not_serve_has_no_address(asked: tuple[str, ...]) -> None:
    with pytest.raises(LookupError, match="The hub serves no"):
        assets.url(*asked)


def test_a_package_is_there_if_all_its_files_are(tmp_path: Path) -> None:
    package = Package("a", "1.0.0", "", ("LICENSE", "a.js"), "")
    (tmp_path / "a@1.0.0").mkdir()
    (tmp_path / "a@1.0.0/LICENSE").touch()

    assert not is_complete(package, tmp_path)
    (tmp_path / "a@1.0.0/a.js").touch()
    assert is_complete(package, tmp_path)
    assert not assets.is_there("nothing", folder=tmp_path)


def test_who_misses_one_is_told_the_command() -> None:
    package = find("swagger-ui-dist")

    assert package
    assert "hypha-cluster assets --get swagger-ui-dist" in how_to_get(package)
