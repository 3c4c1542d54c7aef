"""The README says what is there: the door, the modules, and what Hypercorn has to have."""

import re
from pathlib import Path

import hypercorn
from hypercorn.asyncio import run, tcp_server
from hypercorn.protocol import h2, h11, ws_stream

from hypha_cluster.protocol.limits import TURNS
from hypha_cluster.serving import http11

FOLDER = Path(http11.__file__).parent
TEXT = (FOLDER / "README.md").read_text()


def rows_below(heading: str) -> set[str]:
    """The first words of the rows of a table."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)", section, re.MULTILINE))


def test_the_door_and_the_modules_are_all_named() -> None:
    assert rows_below("The door") == set(http11.__all__)
    assert rows_below("Inside") == {path.stem for path in FOLDER.glob("[!_]*.py")}


def test_what_it_relies_on_in_hypercorn_is_there() -> None:
    config = hypercorn.Config()
    names = re.findall(r"`(\w+)`", TEXT.split("* `Config` has ")[1].split("\n* ")[0])

    assert [name for name in names if not hasattr(config, name)] == []
    assert vars(run)["TCPServer"] in (tcp_server.TCPServer, http11.server.DirectServer)
    assert {"WSStream"} <= vars(h11).keys() & vars(h2).keys()
    assert hasattr(ws_stream.WSStream, "_send_wsproto_event")
    assert "server_extensions_handshake" in vars(ws_stream)


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"more than {TURNS} requests at once" in TEXT.replace("\n", " ")
