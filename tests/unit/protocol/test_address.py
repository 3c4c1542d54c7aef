"""How addresses and service ids are read."""

import pytest

from hypha_cluster.protocol.address import (
    ServiceQuery,
    absolute,
    client_of,
    is_hub,
    node_of,
    parse_service_id,
    peer_address,
    workspace_of,
)


def test_a_relative_address_is_in_the_senders_workspace() -> None:
    assert absolute("client", "home") == "home/client"


def test_an_absolute_address_stays_as_it_is() -> None:
    assert absolute("other/client", "home") == "other/client"


def test_an_address_has_two_halves() -> None:
    assert workspace_of("home/client") == "home"
    assert client_of("home/client") == "client"


@pytest.mark.parametrize(
    ("text", "workspace", "client", "service"),
    [
        ("s", None, None, "s"),
        ("*:s", None, None, "s"),
        ("c:s", None, "c", "s"),
        ("w/c:s", "w", "c", "s"),
        ("w/c", "w", "c", "default"),
        ("w/*:s", "w", None, "s"),
        ("c:", None, "c", ""),
    ],
)
def test_every_form_of_a_service_id_is_understood(
    text: str, workspace: str | None, client: str | None, service: str
) -> None:
    query = parse_service_id(text)

    assert query == ServiceQuery(workspace, client, service)


@pytest.mark.parametrize("workspace", ["home", "public"])
def test_the_address_of_a_node_leads_back_to_it(workspace: str) -> None:
    address = peer_address(workspace, "gateway-1")

    assert workspace_of(address) == workspace
    assert node_of(address) == "gateway-1"
    assert is_hub(address)


@pytest.mark.parametrize(
    ("address", "is_of_hub"),
    [("home/workspace-manager", True), ("home/client", False), ("home/node~1", False)],
)
def test_no_other_address_leads_to_a_node(address: str, is_of_hub: bool) -> None:
    assert node_of(address) is None
    assert is_hub(address) is is_of_hub
