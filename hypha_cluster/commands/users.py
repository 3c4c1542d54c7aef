"""`hypha-cluster user …`: the accounts that the hub keeps itself."""

import argparse
import asyncio
import getpass
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from hypha_cluster.config import IN_MEMORY, Config, masked_url
from hypha_cluster.errors import HubError, StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.identity.accounts import Account, Passwords, check_password
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.accounts import ADMIN, Accounts, Invitation
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import list_nodes
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.serving.embedded import embedded_store, has_store, running_store
from hypha_cluster.settings import FlagParser

USAGE: Final = """\
usage: hypha-cluster user add NAME --email ADDRESS [--admin] [--password-stdin] [--json]
       hypha-cluster user passwd NAME [--password-stdin] [--json]
       hypha-cluster user list [--json]
       hypha-cluster user remove NAME [--json]

Adds, lists and removes users who sign in with a password that the hub keeps. --password-stdin reads
the password from standard input. Without it, a terminal asks you for the password; a script gets a
link by which the user chooses one. `passwd` and `remove` end all tokens that the user has so far.
--json prints for programs.

The command works on the store of a hub, whether the hub runs or not, so give it the flags that
`serve` has: --redis-url and --redis-prefix, or --data-dir of a hub with an embedded store. The link
leads to --public-base-url or --port if you give one of them; else to the --public-base-url of a
gateway that runs on that store; else to that gateway itself.
"""

_GUESSED: Final = """\
No gateway runs on this store, so that is the address that a hub has by default; if yours has
another one, give --port or --public-base-url.
"""


class _Book(NamedTuple):
    """What the sub-commands work with."""

    accounts: Accounts
    revocations: Revocations
    store: str  # as an operator knows it
    hub: "_Address"


class _Address(NamedTuple):
    """Where users reach the hub. is_guessed: neither the operator nor a gateway has said so."""

    url: str
    is_guessed: bool = False


class _Done(NamedTuple):
    """What an action has done: in words, and for programs."""

    words: str
    record: Any


def run(words: Sequence[str]) -> str:
    """Do what is asked for; return what to print. StartupError for a mistake."""
    if not words or {"-h", "--help"} & set(words):
        return USAGE
    action = _ACTIONS.get(words[0])
    if action is None:
        raise StartupError(f"unknown command user {words[0]!r}; there are {', '.join(_ACTIONS)}")
    asked, rest = _parser(words[0]).parse_known_args(words[1:])
    config = HubSettings.load(rest).node
    is_new = _is_new(config)
    if is_new and action is not _add:
        raise StartupError(
            f"no hub has kept anything in {config.data_dir}; name its --data-dir, or its Redis "
            "with --redis-url"
        )
    with _store(config) as url:
        done = asyncio.run(_do(action, asked, config, url))
    if asked.json:
        return json.dumps(done.record, indent=2) + "\n"
    made = f"They are in a new store; start the hub with --data-dir {config.data_dir}.\n"
    return f"{done.words}{made}" if is_new else done.words


def _parser(name: str) -> argparse.ArgumentParser:
    parser = FlagParser(add_help=False)
    parser.add_argument("--json", action="store_true")
    if name != "list":
        parser.add_argument("name")
    if name == "add":
        parser.add_argument("--email", required=True)
        parser.add_argument("--admin", action="store_true")
    if name in ("add", "passwd"):
        parser.add_argument("--password-stdin", action="store_true")
    return parser


def _is_new(config: Config) -> bool:
    """Whether there is no store yet; StartupError where there can be none."""
    if config.redis_url:
        return False
    if config.data_dir == IN_MEMORY:
        raise StartupError(f"--data-dir {IN_MEMORY} keeps nothing; name a folder, or a Redis")
    return not has_store(config.data_dir)


@contextmanager
def _store(config: Config) -> Iterator[str]:
    """The cluster's Redis; an embedded store is started if no hub runs on it."""
    with ExitStack() as stack:
        try:
            url = config.redis_url or running_store(config.data_dir)
        except StartupError:
            url = stack.enter_context(embedded_store(config.data_dir))
        yield url


@asynccontextmanager
async def _opened(config: Config, url: str) -> AsyncIterator[_Book]:
    redis, keys = open_redis(url, config.relay_timeout), Keys(config.redis_prefix)
    try:
        await redis.start()
        store = masked_url(config.redis_url) if config.redis_url else config.data_dir
        hub = await _address(redis, keys, config)
        yield _Book(Accounts(redis, keys), Revocations(redis, keys), store, hub)
    except HubError as error:
        raise StartupError(str(error)) from error
    finally:
        await redis.aclose()


async def _address(redis: RedisClient, keys: Keys, config: Config) -> _Address:
    """As the settings say it, else of a gateway that runs, else as a hub has it by default."""
    if config.public_base_url or config.local_url != Config().local_url:
        return _Address(config.base_url)
    running = [node for node in await list_nodes(redis, keys) if node.alive]
    public = [node.public_url for node in running if node.public_url]
    addresses = public or [_from_here(node.address) + config.base_path for node in running]
    if addresses:
        return _Address(addresses[0])
    return _Address(config.base_url, is_guessed=True)


def _from_here(address: str) -> str:
    """The address of a gateway; of one on this machine as people and the documentation write it."""
    found = urlsplit(address)
    if found.hostname != socket.gethostname().lower():
        return address
    return found._replace(netloc=f"localhost:{found.port}").geturl()


async def _do(action: "_Action", asked: argparse.Namespace, config: Config, url: str) -> _Done:
    async with _opened(config, url) as book:
        return await action(book, asked)


async def _add(book: _Book, asked: argparse.Namespace) -> _Done:
    roles = (ADMIN,) if asked.admin else ()
    password = await _password(asked)
    await book.accounts.add(Account(asked.name, asked.email, roles, password, time.time()))
    return await _outcome(book, asked.name, password, "is there")


async def _set_password(book: _Book, asked: argparse.Namespace) -> _Done:
    password = await _password(asked)
    await book.accounts.set_password(asked.name, password)
    await _end_tokens(book, asked.name)
    return await _outcome(book, asked.name, password, "has a new password")


async def _outcome(book: _Book, name: str, password: str, text: str) -> _Done:
    record: dict[str, Any] = {"name": name, "state": "there"}
    if password:
        return _Done(f"User {name} {text}.\n", record)
    secret = await book.accounts.invite(Invitation(name))
    link = f"{book.hub.url}/login/invitation?code={secret}"
    words = f"User {name} chooses a password at this address, once and within a day:\n{link}\n"
    record |= {"link": link, "is_guessed": book.hub.is_guessed}
    return _Done(words + _GUESSED if book.hub.is_guessed else words, record)


async def _list(book: _Book, asked: argparse.Namespace) -> _Done:
    accounts = await book.accounts.all()
    record = [{"name": a.name, "email": a.email, "roles": a.roles} for a in accounts]
    if not accounts:
        words = (
            f"There are no users yet in {book.store}; `hypha-cluster user add` makes one, and "
            "--data-dir or --redis-url names another store.\n"
        )
        return _Done(words, record)
    width = max(len(account.name) for account in accounts)
    lines = (f"{a.name:<{width}}  {a.email}  {' '.join(a.roles)}".rstrip() for a in accounts)
    return _Done("".join(f"{line}\n" for line in lines), record)


async def _remove(book: _Book, asked: argparse.Namespace) -> _Done:
    await book.accounts.remove(asked.name)
    await _end_tokens(book, asked.name)
    words = f"User {asked.name} is gone; their workspaces stay.\n"
    return _Done(words, {"name": asked.name, "state": "gone"})


async def _end_tokens(book: _Book, name: str) -> None:
    now = time.time()
    await book.revocations.note(Revocation.of_user(name, now, now))


async def _password(asked: argparse.Namespace) -> str:
    """The hash of the password that is given; empty where nobody can be asked."""
    if asked.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {asked.name}: ")
    else:
        return ""
    check_password(password, asked.name)
    return await Passwords().hashed(password)


_Action = Callable[[_Book, argparse.Namespace], Awaitable[_Done]]
_ACTIONS: Final[dict[str, _Action]] = {
    "add": _add,
    "passwd": _set_password,
    "list": _list,
    "remove": _remove,
}
