"""What is fetched is the release that the hub was made with, whole, or nothing at all."""

import base64
import hashlib
from pathlib import Path

import pytest

from hypha_cluster.web.assets.catalogue import PACKAGES, Package, is_complete
from hypha_cluster.web.assets.fetching import FetchFailed, fetch, wanted
from tests.fake_npm import FakeNpm

FILES = ("LICENSE", "dist/a.js")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    npm = FakeNpm(tmp_path)
    monkeypatch.setenv("PATH", str(npm.path), prepend=":")
    return npm


def package(integrity: str, files: tuple[str, ...] = FILES) -> Package:
    return Package("a", "1.0.0", integrity, files, "a test")


def test_files_are_taken_out_of_the_package(npm: FakeNpm, tmp_path: Path) -> None:
    wanted = package(npm.pack(LICENSE="free", dist__a_js="1", dist__b_js="2"))

    fetch(wanted, tmp_path / "files")

    found = {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert found == {"LICENSE", "a.js"}
    assert (tmp_path / "files/a@1.0.0/dist/a.js").read_text() == "1"
    assert is_complete(wanted, tmp_path / "files")


def test_what_was_half_there_is_replaced(npm: FakeNpm, tmp_path: Path) -> None:
    wanted = package(npm.pack(LICENSE="free", dist__a_js="1"))
    (tmp_path / "files/a@1.0.0").mkdir(parents=True)
    (tmp_path / "files/a@1.0.0/LICENSE").write_text("old")

    fetch(wanted, tmp_path / "files")

    assert (tmp_path / "files/a@1.0.0/LICENSE").read_text() == "free"


def test_another_archive_than_the_pinned_one_is_refused(npm: FakeNpm, tmp_path: Path) -> None:
    wanted = package("sha512-other")
    npm.pack(LICENSE="free", dist__a_js="1")

    with pytest.raises(FetchFailed, match="not the one that this hub was made with"):
        fetch(wanted, tmp_path / "files")

    assert list((tmp_path / "files").iterdir()) == []


def test_a_package_without_one_of_the_files_leaves_nothing(npm: FakeNpm, tmp_path: Path) -> None:
    wanted = package(npm.pack(LICENSE="free"))

    with pytest.raises(FetchFailed, match=r"a@1.0.0 has no file dist/a.js"):
        fetch(wanted, tmp_path / "files")

    assert list((tmp_path / "files").iterdir()) == []


def test_what_npm_says_is_passed_on(npm: FakeNpm, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"npm did not get a@1.0.0: gone"):
        fetch(package(""), tmp_path / "files")


def test_without_npm_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(FetchFailed, match=r"install Node\.js"):
        fetch(package(""), tmp_path)


def test_a_folder_that_cannot_be_made_is_named(npm: FakeNpm, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")

    with pytest.raises(FetchFailed, match="files cannot be written"):
        fetch(package(npm.pack(LICENSE="free", dist__a_js="1")), tmp_path / "files")


def test_a_wheel_is_taken_as_it_is(
    npm: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (npm.path / "pip").write_text("#!/bin/sh\nprintf wheel > a-1.0.0-py3-none-any.whl\n")
    (npm.path / "pip").chmod(0o755)
    digest = base64.b64encode(hashlib.sha512(b"wheel").digest()).decode()
    wanted = package(f"sha512-{digest}", ("a-1.0.0-py3-none-any.whl",))

    fetch(wanted, tmp_path / "files")

    there = tmp_path / "files/a@1.0.0/a-1.0.0-py3-none-any.whl"
    assert there.read_text() == "wheel"


def test_packages_are_chosen_by_name() -> None:
    assert wanted([]) == list(PACKAGES)
    assert {package.name for package in wanted(["imjoy-rpc"])} == {"imjoy-rpc"}
    with pytest.raises(
        FetchFailed, match="there is no package 'nothing'; there are anyio, .*, imjoy-rpc, "
    ):
        wanted(["nothing"])
