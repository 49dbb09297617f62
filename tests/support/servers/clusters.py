"""A Redis Cluster, and a master with a replica and Sentinels, on loopback."""

import socket
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import redis

from invokeq_worker.process.embedded_server import EmbeddedValkey, find_valkey
from tests.support.waiting import START_SECONDS, eventually

SLOTS = 16384


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """Masters that share the slots, each with one replica or none; `url` names the masters."""

    masters: list[EmbeddedValkey]
    replicas: list[EmbeddedValkey]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{master.port}" for master in self.masters)
        return f"redis+cluster://{hosts}"

    @property
    def replica_urls(self) -> list[str]:
        return [replica.url for replica in self.replicas]


@contextmanager
def running_cluster(size: int = 3, *, replicas: bool = True) -> Generator[RunningCluster]:
    """Run a cluster; wait until every node knows all nodes and every replica is in sync."""
    copies = 2 if replicas else 1
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node()) for _ in range(copies * size)]
        clients = [
            stack.enter_context(redis.Redis.from_url(node.url, protocol=2)) for node in nodes
        ]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < size:
                begin, end = SLOTS * number // size, SLOTS * (number + 1) // size - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", begin, end)
        bus = str(clients[0].config_get("cluster-port")["cluster-port"])
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
        for client in clients:
            eventually(
                "all know all", lambda c=client: _knows(c) == len(nodes), within=START_SECONDS
            )
        for master, replica in zip(clients, clients[size:], strict=False):
            replica.execute_command("CLUSTER", "REPLICATE", master.execute_command("CLUSTER MYID"))
        for client in clients:
            eventually(
                "it is whole", lambda c=client: _is_whole(c, size, copies), within=START_SECONDS
            )
        for replica in clients[size:]:
            eventually("it follows", lambda c=replica: _follows(c), within=START_SECONDS)
        yield RunningCluster(nodes[:size], nodes[size:])


def _node() -> EmbeddedValkey:
    options = {
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),
        "cluster-node-timeout": "2000",
        "repl-diskless-sync-delay": "0",
    }
    return EmbeddedValkey.start(options=options)


def _knows(client: redis.Redis) -> int:
    return int(_info(client)["cluster_known_nodes"])


def _is_whole(client: redis.Redis, size: int, copies: int) -> bool:
    slots: list[list[Any]] = cast(Any, client.execute_command("CLUSTER", "SLOTS"))
    whole = [len(part) - 2 for part in slots] == [copies] * size
    return whole and _info(client)["cluster_state"] == "ok"


def _follows(client: redis.Redis) -> bool:
    return client.info("replication").get("master_link_status") == "up"


def _info(client: redis.Redis) -> dict[str, str]:
    text = cast(Any, client).execute_command("CLUSTER", "INFO")
    if isinstance(text, dict):
        return cast(dict[str, str], text)
    return dict(line.split(":", 1) for line in cast(bytes, text).decode().split())


@dataclass(frozen=True, slots=True)
class RunningSentinel:
    """A master, a replica, and one Sentinel with the name `mymaster` for both."""

    master: EmbeddedValkey
    replica: EmbeddedValkey
    port: int
    password: str | None = None

    @property
    def url(self) -> str:
        """The address; the first Sentinel in the list does not exist."""
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{self.port}"
        asking = f"?sentinel_password={quote(self.password, safe='')}" if self.password else ""
        return f"redis+sentinel://{hosts}/mymaster{asking}"


@contextmanager
def running_sentinel(directory: Path, password: str | None = None) -> Generator[RunningSentinel]:
    """Run all three; wait until the replica is in sync and the Sentinel knows the replica.

    With `password`, the Sentinel requires a password.
    """
    with ExitStack() as stack:
        options = {"repl-diskless-sync-delay": "0"}
        master = stack.enter_context(EmbeddedValkey.start(options=options))
        replica = stack.enter_context(EmbeddedValkey.start(options=options))
        client = stack.enter_context(redis.Redis.from_url(replica.url, protocol=2))
        client.replicaof("127.0.0.1", master.port)
        eventually("it follows", lambda: _follows(client))
        port = free_port()
        stack.enter_context(_sentinel(directory, port, master, password))
        asking = stack.enter_context(redis.Redis(port=port, password=password, protocol=2))
        eventually("the replica is known", lambda: _replicas(asking) == 1, within=START_SECONDS)
        yield RunningSentinel(master, replica, port, password)


@contextmanager
def _sentinel(
    directory: Path, port: int, master: EmbeddedValkey, password: str | None
) -> Generator[None]:
    config = directory / "sentinel.conf"
    wanted = f'requirepass "{password}"\n' if password else ""
    config.write_text(
        f"{wanted}port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds mymaster 1000\n"
        "sentinel failover-timeout mymaster 6000\n"
    )
    with (directory / "sentinel.log").open("wb") as log:
        command = [str(find_valkey()), str(config), "--sentinel"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _replicas(sentinel: redis.Redis) -> int:
    try:
        masters: Any = sentinel.sentinel_masters()
    except redis.ConnectionError:
        return 0
    return int(masters["mymaster"]["num-slaves"]) if "mymaster" in masters else 0
