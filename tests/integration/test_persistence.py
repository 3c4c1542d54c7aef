"""What survives when a gateway is killed together with its embedded store."""

from pathlib import Path

from tests import lasting_workspace
from tests.gateways import Gateway

SECRET = "only for this test"


async def test_a_persistent_workspace_is_there_after_a_kill(tmp_path: Path) -> None:
    home = str(tmp_path / "data")
    with Gateway(tmp_path / "first.log", data_dir=home, jwt_secret=SECRET) as gateway:
        await lasting_workspace.make(gateway.url, SECRET)
        gateway.kill()

    with Gateway(tmp_path / "second.log", data_dir=home, jwt_secret=SECRET) as gateway:
        lasting_workspace.check(gateway.url, SECRET)
