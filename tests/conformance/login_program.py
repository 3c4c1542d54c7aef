"""A program that logs in as users write it, inside an environment with one release of imjoy-rpc.

Arguments: the hub's address, how it is called (`async`, `sync`, or `login_sync` of the package
itself), and `wait` if it is to ask for its token only when it gets a line. Prints as JSON what
`login` tells its user, then who it is once it has connected with the token, and the token.
"""

import asyncio
import json
import sys
from typing import Any

WAITS = sys.argv[3:] == ["wait"]


def tell(context: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"login_url": context["login_url"]}) + "\n")
    sys.stdout.flush()
    if WAITS:
        sys.stdin.readline()


async def tell_later(context: dict[str, Any]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, tell, context)


def say(info: Any, token: str) -> None:
    user = {"id": info["user_info"]["id"], "workspace": info["workspace"]}
    sys.stdout.write(json.dumps(user | {"token": token}) + "\n")
    sys.stdout.flush()


async def log_in(url: str) -> None:
    from imjoy_rpc.hypha import connect_to_server, login

    token = await login({"server_url": url, "login_callback": tell_later, "login_timeout": 60})
    server = await connect_to_server({"server_url": url, "token": token})
    say(await server.get_connection_info(), token)


def log_in_synchronously(url: str, *, by_package: bool) -> None:
    if by_package:
        from imjoy_rpc.hypha import connect_to_server_sync as connect, login_sync as login
    else:
        from imjoy_rpc.hypha.sync import connect_to_server as connect, login

    token = login({"server_url": url, "login_callback": tell, "login_timeout": 60})
    server = connect({"server_url": url, "token": token})
    say(server.get_connection_info(), token)


if sys.argv[2] == "async":
    asyncio.run(log_in(sys.argv[1]))
else:
    log_in_synchronously(sys.argv[1], by_package=sys.argv[2] == "login_sync")
