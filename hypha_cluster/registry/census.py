"""Who is there: what Redis knows of clients, for operators."""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.registry.keys import Keys

_AT_ONCE: Final = 500  # clients that are asked for together


class ClientInfo(NamedTuple):
    """What operators see of a client. state: online or suspended; services: how many it offers."""

    address: str
    state: str
    gateway: str
    user: str
    services: int


async def about_client(redis: RedisClient, keys: Keys, address: str) -> ClientInfo | None:
    """What is known of a client; None, if it has gone."""
    record = await redis.hgetall(keys.client(address))
    if not record:
        return None
    services = await redis.scard(keys.client_services(address))
    return _info(address, record, services)


async def addresses_of(redis: RedisClient, keys: Keys, workspaces: Iterable[str]) -> list[str]:
    """The addresses of the clients of some workspaces, in their order."""
    names = sorted(workspaces)
    found = await settled([redis.smembers(keys.clients(name)) for name in names])
    return [
        f"{name}/{client.decode()}"
        for name, clients in zip(names, found, strict=True)
        for client in sorted(clients)
    ]


async def about_clients(
    redis: RedisClient, keys: Keys, addresses: Iterable[str]
) -> list[ClientInfo]:
    """What is known of those that are still there."""
    known, found = list(addresses), list[ClientInfo]()
    for start in range(0, len(known), _AT_ONCE):
        found += await _about_some(redis, keys, known[start : start + _AT_ONCE])
    return found


async def _about_some(redis: RedisClient, keys: Keys, known: list[str]) -> list[ClientInfo]:
    records = await settled([redis.hgetall(keys.client(address)) for address in known])
    counts = await settled([redis.scard(keys.client_services(address)) for address in known])
    found = zip(known, records, counts, strict=True)
    return [_info(address, record, count) for address, record, count in found if record]


def _info(address: str, record: Mapping[bytes, bytes], services: int) -> ClientInfo:
    fields = {key.decode(): value.decode(errors="replace") for key, value in record.items()}
    user = json.loads(fields.get("user") or "{}")
    name = user.get("email") or user.get("id") or fields.get("user_id", "")
    return ClientInfo(address, fields.get("state", ""), fields.get("node", ""), name, services)
