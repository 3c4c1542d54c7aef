"""Redis servers that belong together: a master with Sentinels, a cluster."""

import contextlib
from pathlib import Path
from typing import Any, Self

from redis.exceptions import RedisError

from tests.redis_servers import (
    HOST,
    VALKEY,
    RedisServer,
    eventually,
    free_port,
    plain_server,
)


class SentinelGroup:
    """A master, two replicas, and three Sentinels that watch them."""

    service = "main"

    def __init__(self, home: Path, binary: str = VALKEY) -> None:
        self.servers = [
            plain_server(
                home / f"server-{number}", "--repl-diskless-sync-delay", "0", binary=binary
            )
            for number in range(3)
        ]
        self.sentinels = [
            RedisServer(home / f"sentinel-{number}", "sentinel.conf", "--sentinel", binary=binary)
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}"

    def master(self) -> RedisServer:
        """Return the server that the Sentinels take for the master."""
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        _, port = self.sentinels[0].ask(*command)
        return next(server for server in self.servers if server.port == int(port))

    def start(self) -> None:
        master, *replicas = (server.start() for server in self.servers)
        for replica in replicas:
            replica.ask("REPLICAOF", HOST, master.port)
        for sentinel in self.sentinels:
            (sentinel.home / "sentinel.conf").write_text(
                f"port {sentinel.port}\n"
                f"sentinel monitor {self.service} {HOST} {master.port} 2\n"
                f"sentinel down-after-milliseconds {self.service} 1000\n"
                f"sentinel failover-timeout {self.service} 5000\n"
            )
            sentinel.start()
        eventually(self._is_complete, "Sentinels that know each other and the replicas")

    def _is_complete(self) -> bool:
        reply = [sentinel.ask("SENTINEL", "MASTER", self.service) for sentinel in self.sentinels]
        return all(
            int(facts["num-slaves"]) == 2 and int(facts["num-other-sentinels"]) == 2
            for facts in reply
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


SLOTS = 16384


class RedisCluster:
    """Three primaries with a third of the slots each, and a replica of each."""

    def __init__(self, home: Path, binary: str = VALKEY) -> None:
        self.servers = [
            plain_server(
                home / f"node-{number}",
                *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                *("--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0"),
                *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
                binary=binary,
            )
            for number in range(6)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers[:3])

    def owner(self, slot: int) -> RedisServer:
        """Return the primary that has a slot."""
        for first, last, primary, *_ in self._slots():
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def _slots(self) -> list[Any]:
        for server in self.servers:
            with contextlib.suppress(RedisError), server.client() as client:
                client.response_callbacks.pop("CLUSTER SLOTS", None)
                slots: list[Any] = client.execute_command("CLUSTER SLOTS")
                return slots
        raise AssertionError("no server of the cluster answers")

    def replica_of(self, primary: RedisServer) -> RedisServer:
        number = self.servers.index(primary)
        return self.servers[(number + 3) % 6]

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move a slot with its keys, as redis-cli does."""
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, source, target)

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)

    def begin_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))

    def end_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        for server in (target, source):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))

    def start(self) -> None:
        for server in self.servers:
            server.start()
        first, *others = self.servers
        for other in others:
            port = other.ask("CONFIG", "GET", "cluster-port")["cluster-port"]
            first.ask("CLUSTER", "MEET", HOST, other.port, int(port))
        for number, server in enumerate(self.servers[:3]):
            begin, end = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", begin, end)
        eventually(lambda: self._all_know(6), "servers that know each other")
        for primary, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        eventually(self.is_whole, "a cluster with its replicas")

    def _all_know(self, count: int) -> bool:
        return all(
            int(server.ask("CLUSTER INFO")["cluster_known_nodes"]) == count
            for server in self.servers
        )

    def is_whole(self) -> bool:
        """Whether all slots are served, and each primary has its replica."""
        states = [server.ask("CLUSTER INFO")["cluster_state"] for server in self.servers]
        replicas = [server.ask("INFO", "replication") for server in self.servers]
        links = [facts.get("master_link_status", "up") for facts in replicas]
        roles = [facts["role"] for facts in replicas]
        return (
            set(states) == {"ok"}
            and set(links) == {"up"}
            and sorted(roles) == 3 * ["master"] + 3 * ["slave"]
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
