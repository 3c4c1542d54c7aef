"""What a hub says of itself when it has started."""

from typing import Any

import pytest

from hypha_cluster.config import IN_MEMORY, Config
from hypha_cluster.serving.run import banner


def said(*, is_held: bool = False, **settings: Any) -> list[str]:
    return list(banner(Config(**settings), is_held=is_held))


def test_it_says_where_it_is_and_how_to_connect() -> None:
    version, listening, store, connect = said(host="127.0.0.1", port=1, data_dir="/data")

    assert version.startswith("hypha-cluster ")
    assert listening == "Listening on http://127.0.0.1:1"
    assert store == "Store: embedded, in /data"
    assert connect == (
        'Connect with: await connect_to_server({"server_url": "http://127.0.0.1:1"})'
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_it_says_that_other_machines_reach_it(host: str) -> None:
    assert "Other machines reach it too; --host 127.0.0.1 keeps it to this one" in said(host=host)


def test_it_says_that_its_port_outlives_it() -> None:
    lines = said(is_held=True)

    assert "The port is held open from outside, and stays open when this hub ends" in lines
    assert not any("Other machines" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "store"),
    [
        ({"data_dir": IN_MEMORY}, "Store: embedded, in memory"),
        (
            {"redis_url": "redis://:hush@redis", "redis_prefix": "east"},
            "Store: Redis at redis://***@redis, prefix east",
        ),
    ],
)
def test_it_names_its_store_without_its_password(settings: dict[str, Any], store: str) -> None:
    assert store in said(**settings)


def test_it_says_how_many_gateways_share_the_port() -> None:
    assert said(workers=4)[0].endswith(", 4 gateways")
