"""A program that logs in as users write it, inside an environment with one release of imjoy-rpc.

Arguments: the hub's address, and `async` or `sync`. Prints what `login` tells its user, as JSON,
then who it is once it has connected with the token.
"""

import asyncio
import json
import sys
from typing import Any


def tell(context: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"login_url": context["login_url"]}) + "\n")
    sys.stdout.flush()


async def tell_later(context: dict[str, Any]) -> None:
    tell(context)


def say(info: Any) -> None:
    user = info["user_info"]
    sys.stdout.write(json.dumps({"id": user["id"], "workspace": info["workspace"]}) + "\n")
    sys.stdout.flush()


async def log_in(url: str) -> None:
    from imjoy_rpc.hypha import connect_to_server, login

    token = await login({"server_url": url, "login_callback": tell_later, "login_timeout": 60})
    server = await connect_to_server({"server_url": url, "token": token})
    say(await server.get_connection_info())


def log_in_synchronously(url: str) -> None:
    from imjoy_rpc.hypha.sync import connect_to_server, login

    token = login({"server_url": url, "login_callback": tell, "login_timeout": 60})
    server = connect_to_server({"server_url": url, "token": token})
    say(server.get_connection_info())


if sys.argv[2] == "sync":
    log_in_synchronously(sys.argv[1])
else:
    asyncio.run(log_in(sys.argv[1]))
