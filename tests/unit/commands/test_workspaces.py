"""What `hypha-cluster workspaces` shows."""

import json

import pytest

from hypha_cluster.commands import workspaces as module
from hypha_cluster.commands.workspaces import workspaces
from tests.fake_redis import FakeRedis
from tests.unit.commands.conftest import Opens


@pytest.fixture(autouse=True)
def _cluster(fake: FakeRedis, opens: Opens) -> None:
    opens(module)
    fake.answers["scard"] = lambda words: 3 if "public" in words[0] else 0


def test_each_is_listed_with_its_clients(
    fake: FakeRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers["smembers"] = [b"gone"]  # whose settings are gone meanwhile

    workspaces(json=True)

    (public,) = json.loads(capsys.readouterr().out)
    assert (public["name"], public["client_count"]) == ("public", 3)


def test_the_table_has_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    workspaces()

    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["WORKSPACE", "CLIENTS", "VISIBILITY", "PERSISTENT", "OWNERS"]
    assert row.split()[:2] == ["public", "3"]
