"""What --static-mounts may say."""

from pathlib import Path

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.mounts import mounts_of


def test_several_directories_are_mounted_at_their_paths(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    mounts = mounts_of(f"/tools:{tmp_path}, /lab/pages:{tmp_path}/a")

    assert mounts == {"/tools": tmp_path, "/lab/pages": tmp_path / "a"}
    assert mounts_of("") == {}


@pytest.mark.parametrize("mount", ["tools", "tools:.", "/:.", "/tools:", "/a/../b:.", "/a b:."])
def test_a_mount_that_is_not_understood_is_named(mount: str) -> None:
    with pytest.raises(StartupError, match="must be like /path:directory"):
        mounts_of(mount)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=f"{tmp_path}/missing is no directory"):
        mounts_of(f"/tools:{tmp_path}/missing")


def test_no_path_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="/tools is there twice"):
        mounts_of(f"/tools:{tmp_path},/tools:{tmp_path}")
