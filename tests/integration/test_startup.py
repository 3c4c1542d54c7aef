"""Starting and stopping a hub: what is said, what it exits with, what survives."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis import Redis

from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import all_settings
from hypha_cluster.registry.keys import Keys
from hypha_cluster.serving.embedded import embedded_store
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway, Value, command, environment, status
from tests.redis_servers import free_port, plain_server

LOCALHOST = IPv4Address("127.0.0.1")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=30 * SECOND,
        check=False,
    )


def hypha_cluster(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "hypha_cluster", *words, **variables)


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20 * SECOND
    while not condition():
        assert time.monotonic() < deadline, f"it did not {what}"
        time.sleep(0.02)


def children_of(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for tasks in listed for child in tasks.read_text().split()}


def workers_of(gateway: Gateway) -> set[int]:
    return {child for child in children_of(gateway.pid) if is_worker(child)}


def is_worker(pid: int) -> bool:
    line = command_line(pid)
    return "serving.worker" in line or line.startswith("hypha-cluster: gateway ")


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--redis-url=http://redis", "redis_url 'http://redis' is not understood"),
        ("--redis-url=redis://127.0.0.1:1", "no Redis at redis://127.0.0.1:1"),
        ("--redis-url=unix:///no/such/socket", "no Redis at unix:///no/such/socket"),
        ("--prot=1", "unknown flag '--prot'; did you mean --port?"),
        ("--enable-s3", "--enable-s3 is not available in hypha_cluster yet"),
        ("--port=65536", "port must be at most 65535"),
        ("--certfile=/no/such/file", "certfile and keyfile go together"),
        ("--data-dir=/proc/nowhere", "data directory /proc/nowhere cannot be used"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(flag: str, complaint: str) -> None:
    ended = hypha_cluster("serve", "--port=0", flag)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not ended.stdout


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = hypha_cluster("serve", "--host=127.0.0.1", f"--port={port}")

    assert ended.returncode == 2
    assert ended.stderr == f"hypha-cluster: cannot listen on 127.0.0.1:{port}: the port is in use\n"


def test_a_name_in_use_is_told_in_one_line(
    gateway_factory: GatewayFactory, valkey_url: str, redis_prefix: str
) -> None:
    first = gateway_factory(node_name="same")

    second = hypha_cluster(
        *("serve", "--node-name=same", "--port=0", f"--redis-url={valkey_url}"),
        f"--redis-prefix={redis_prefix}",
    )

    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith(
        "hypha-cluster: another gateway called 'same' is running, at http"
    )
    assert "--node-name" in second.stderr
    assert "Traceback" not in second.stderr
    assert status(f"{first.url}/health/ready") == 200


def test_a_gateway_that_was_killed_can_be_started_again_under_its_name(
    gateway_factory: GatewayFactory,
) -> None:
    gateway_factory(node_name="again").kill()

    again = gateway_factory(node_name="again")

    assert status(f"{again.url}/health/ready") == 200


@pytest.fixture
def no_redis() -> Iterator[str]:
    """A server that is none of Redis's; return its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()


@pytest.mark.parametrize("kind", ["redis", "redis+cluster", "redis+sentinel"])
def test_what_is_no_redis_is_told_in_one_line(no_redis: str, kind: str) -> None:
    ended = hypha_cluster("serve", "--port=0", f"--redis-url={kind}://{no_redis}/0")

    assert ended.returncode == 2
    assert f"What answers at {no_redis} is no Redis" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_node_of_a_redis_cluster_is_told_from_a_server(tmp_path: Path) -> None:
    arguments = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with plain_server(tmp_path, *arguments) as server:
        ended = hypha_cluster("serve", "--port=0", f"--redis-url={server.url}/0")

    assert ended.returncode == 2
    assert f"write redis+cluster://127.0.0.1:{server.port}" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_server_is_told_from_a_node_of_a_redis_cluster(tmp_path: Path) -> None:
    with plain_server(tmp_path) as server:
        url = server.url.replace("redis:", "redis+cluster:")
        ended = hypha_cluster("serve", "--port=0", f"--redis-url={url}")

    assert ended.returncode == 2
    assert f"write redis://127.0.0.1:{server.port}" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_reset_leaves_other_clusters_alone(
    gateway_factory: GatewayFactory, valkey_url: str, redis_prefix: str
) -> None:
    mine, other = Keys(redis_prefix), Keys(f"{redis_prefix}:2")
    with Redis.from_url(valkey_url) as redis:
        for keys in (mine, other):
            redis.hset(keys.workspace("lab"), "name", '"lab"')
            redis.set(keys.secret(), "old")
            redis.hset(keys.user("ann"), "identity", "{}")

        gateway_factory(reset_redis=True)

        assert not redis.exists(mine.workspace("lab"), mine.user("ann"))
        assert redis.get(mine.secret()) != b"old"
        assert redis.exists(other.workspace("lab"), other.secret(), other.user("ann")) == 3


def test_a_directory_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with embedded_store(str(tmp_path)):
        ended = hypha_cluster("serve", "--port=0", f"--data-dir={tmp_path}")

    assert ended.returncode == 2
    assert f"data directory {tmp_path} is in use by another hub" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1"])
def test_status_tells_once_that_redis_does_not_answer(url: str) -> None:
    ended = hypha_cluster("status", f"--redis-url={url}")

    assert ended.returncode == 2
    assert re.fullmatch(r"hypha-cluster: .*127.0.0.1:1.*\n", ended.stderr)
    assert not ended.stdout


def test_a_mistaken_variable_is_told() -> None:
    ended = hypha_cluster("serve", HYPHA_REDIS_ULR="x")

    assert ended.returncode == 2
    assert "unknown variable HYPHA_REDIS_ULR; did you mean HYPHA_REDIS_URL?" in ended.stderr


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not here")
def test_a_hub_takes_its_socket_from_systemd(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = command("serve", host="192.0.2.1", port=1, data_dir=":memory:", workers=2)
    log = tmp_path / "log"
    with log.open("wb") as output:
        hub = subprocess.Popen(
            ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *words],
            env=environment(),
            stdout=output,
            stderr=output,
        )

    eventually(lambda: status(f"http://127.0.0.1:{port}/health/ready") == 200, "serve")
    hub.terminate()

    assert hub.wait(60 * SECOND) == 0
    assert f"Listening on http://127.0.0.1:{port}\nThe port is held open" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("word", "hint"), [("sevre", "did you mean 'serve'?\n"), ("xyzzy", "there are serve, user, ")]
)
def test_an_unknown_command_is_told(word: str, hint: str) -> None:
    ended = hypha_cluster(word)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"hypha-cluster: unknown command '{word}'; {hint}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], [], ["serve", "--help"]])
def test_help_is_there(words: list[str]) -> None:
    helped = hypha_cluster(*words)

    assert helped.returncode == 0
    assert "usage: hypha-cluster" in helped.stdout


def test_the_version_is_there() -> None:
    assert re.fullmatch(r"hypha-cluster \d+\.\d+\.\d+\S*\n", hypha_cluster("--version").stdout)


def test_config_shows_what_is_in_force_without_secrets() -> None:
    shown = hypha_cluster("config", "--port=1234", JWT_SECRET="hush").stdout

    assert re.search(r"^\* port +1234 +HYPHA_PORT ", shown, re.MULTILINE)
    assert re.search(r"^\* jwt_secret +'\*\*\*' ", shown, re.MULTILINE)
    assert re.search(r"^  reconnect_grace +180.0 seconds ", shown, re.MULTILINE)
    assert "hush" not in shown
    assert len(shown.splitlines()) == len(all_settings(all_features()))


def test_a_hub_says_where_it_is_and_how_to_connect(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory()

    assert f"Listening on {gateway.url}\n" in gateway.log()
    assert f'await connect_to_server({{"server_url": "{gateway.url}"}})' in gateway.log()
    assert "Store: Redis at unix://" in gateway.log()
    assert "Other machines" not in gateway.log()
    gateway.interrupt()
    assert gateway.log().endswith(" The hub has stopped.\n")


def test_a_hub_that_listens_on_all_addresses_says_so(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(host="0.0.0.0")

    assert "\nOther machines reach it too; --host 127.0.0.1 keeps it to this one\n" in gateway.log()


@pytest.mark.parametrize("end", [Gateway.terminate, Gateway.interrupt])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hub_that_is_told_to_stop_exits_with_zero(
    gateway_factory: GatewayFactory, end: Callable[[Gateway], int], workers: int
) -> None:
    gateway = gateway_factory(workers=workers)

    assert end(gateway) == 0
    assert status(f"{gateway.url}/health/ready") == 0


def test_the_originals_way_of_starting_works(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hypha_cluster.server", "--host=127.0.0.1", "--port=0"]
    server = subprocess.Popen(
        [*words, f"--data-dir={tmp_path}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout
    lines = [next(server.stdout) for _ in range(4)]
    server.terminate()
    server.communicate(timeout=60 * SECOND)

    assert lines[1].startswith("Listening on http://127.0.0.1:")
    assert lines[2] == f"Store: embedded, in {tmp_path}\n"
    assert server.returncode == 0


def test_the_flags_of_the_original_work(tmp_path: Path, valkey_url: str, redis_prefix: str) -> None:
    with Gateway(
        tmp_path / "log",
        redis_uri=valkey_url,
        redis_prefix=redis_prefix,
        base_path="/",
        allow_origins="http://localhost:3000",
        public_base_url="https://hub.org",
    ) as gateway:
        assert '{"server_url": "https://hub.org"}' in gateway.log()


def test_the_embedded_store_comes_back_after_a_crash(tmp_path: Path) -> None:
    with Gateway(tmp_path / "log", data_dir=str(tmp_path / "data")) as gateway:
        redis = Redis(unix_socket_path=str(tmp_path / "data" / "valkey.sock"))
        redis.set("kept", "yes")
        redis.waitaof(1, 0, 5000)

        os.kill(int(redis.info("server")["process_id"]), signal.SIGKILL)
        eventually(lambda: "starting it again" in gateway.log(), "notice")

        eventually(lambda: status(f"{gateway.url}/health/ready") == 200, "become ready again")
        assert redis.get("kept") == b"yes"
        redis.close()
        gateway.tracebacks_allowed = True


def test_a_hub_that_was_killed_can_be_started_again_at_once(tmp_path: Path) -> None:
    settings: dict[str, Value] = {"data_dir": str(tmp_path / "data"), "workers": 2}
    with Gateway(tmp_path / "first.log", **settings) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        gateway.kill()

    eventually(lambda: is_free(port), "free its port")
    with Gateway(tmp_path / "second.log", port=port, **settings) as gateway:
        assert gateway.url.endswith(f":{port}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_dies_is_replaced(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(workers=2)
    before = workers_of(gateway)
    victim = min(before)

    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(workers_of(gateway) - {victim}) == 2, "replace the worker")

    assert len(before) == 2
    assert "ended (-9)" in gateway.log()
    assert status(f"{gateway.url}/health/ready") == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_log_calls_a_gateway_by_one_name(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(workers=2, node_name="east")
    eventually(lambda: gateway.log().count(" is up.") == 2, "start both")

    os.kill(min(workers_of(gateway)), signal.SIGKILL)
    eventually(lambda: gateway.log().count(" is up.") == 3, "replace the worker")

    up = re.findall(
        r" INFO (\S+) hypha_cluster.serving.gateway: Gateway (\S+) is up.", gateway.log()
    )
    ended = re.findall(r"Gateway (\S+) ended \(-9\)", gateway.log())
    assert {name for line in up for name in line} == {"east-0", "east-1"}
    assert [(name, name) for name in ended] == up[2:]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("workers", "moment"),
    [
        (1, "modules load"),
        (1, "the store starts"),
        (2, "the store starts"),
        (2, "a worker starts"),
        (2, "all start"),
    ],
)
def test_ctrl_c_during_the_start_leaves_no_traceback(
    tmp_path: Path, workers: int, moment: str
) -> None:
    """As a terminal does it: all processes of the hub are told."""
    data_dir = tmp_path / "data"
    hub = subprocess.Popen(
        command("serve", port=0, host="127.0.0.1", data_dir=str(data_dir), workers=workers),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that started these tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    reached = {
        "modules load": lambda: "hiredis" in Path(f"/proc/{hub.pid}/maps").read_text(),
        "the store starts": (data_dir / "gateway.lock").exists,
        "a worker starts": lambda: len(children_of(hub.pid)) >= 2,
        "all start": lambda: len(children_of(hub.pid)) >= 1 + workers,
    }
    eventually(reached[moment], moment)

    os.killpg(hub.pid, signal.SIGINT)
    _, errors = hub.communicate(timeout=60 * SECOND)

    assert "Traceback" not in errors
    assert "Fatal" not in errors


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from hypha_cluster.__main__ import main
sys.exit(main(["serve", "--data-dir=:memory:", "--port=0"]))
"""


@pytest.mark.parametrize(
    "module", ["hypha_cluster.commands.main", "httpx2", "jinja2", "hypha_cluster.serving.run"]
)
def test_ctrl_c_while_a_module_loads_ends_the_program_at_once(module: str) -> None:
    program = INTERRUPTED.format(module=module)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_nothing_is_loaded_before_ctrl_c_is_arranged() -> None:
    program = (
        "import sys; had = {*sys.modules}; import hypha_cluster.__main__;"
        "print({*sys.modules} - had)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )

    assert ast.literal_eval(loaded.stdout) == {"hypha_cluster", "hypha_cluster.__main__"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_parent(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(workers=2)
    workers = workers_of(gateway)

    gateway.kill()

    eventually(lambda: not any(command_line(worker) for worker in workers), "end the workers")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_say_what_they_are_and_no_secret(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(workers=2, node_name="east", jwt_secret="hush")
    eventually(lambda: gateway.log().count(" is up.") == 2, "start both")

    lines = [command_line(pid) for pid in (gateway.pid, *workers_of(gateway))]

    port = gateway.url.rpartition(":")[2]
    assert lines[0].startswith("hypha-cluster serve ")
    assert "--jwt-secret=***" in lines[0]
    assert sorted(line.strip("\0") for line in lines[1:]) == [
        f"hypha-cluster: gateway east-{number} on port {port}" for number in range(2)
    ]


def test_no_log_line_shows_a_token(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(log_level="debug")

    for path in ("/", "/nowhere", "/public/services", "/health/ready"):
        status(f"{gateway.url}{path}?token=hush")

    assert "hush" not in gateway.log()


def test_log_lines_can_be_json(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(log_level="debug", log_format="json")
    gateway.interrupt()

    lines = [line for line in gateway.log().splitlines() if line.startswith("{")]
    assert lines
    assert all({"time", "level", "message"} <= json.loads(line).keys() for line in lines)


def test_a_hub_without_uvloop_works(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(event_loop="asyncio", fast_websockets=False)

    with urllib.request.urlopen(f"{gateway.url}/health/live") as response:
        assert response.status == 200


def test_a_signal_during_the_start_is_obeyed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    hub = subprocess.Popen(
        command("serve", port=0, host="127.0.0.1", data_dir=str(data_dir)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: (data_dir / "gateway.lock").exists(), "begin")
    hub.terminate()
    _, errors = hub.communicate(timeout=60 * SECOND)

    assert hub.returncode == 0
    assert "Traceback" not in errors
    with embedded_store(str(data_dir)):
        pass


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_hub_with_a_certificate_speaks_https(
    tmp_path: Path, gateway_factory: GatewayFactory, protocol: str
) -> None:
    certfile, keyfile = certificate(tmp_path)
    gateway = gateway_factory(certfile=certfile, keyfile=keyfile)
    trust = ssl.create_default_context(cafile=certfile)
    trust.set_alpn_protocols([protocol])
    address = urlsplit(gateway.url)

    with (
        socket.create_connection((address.hostname, address.port)) as plain,
        trust.wrap_socket(plain, server_hostname=address.hostname) as secured,
    ):
        assert secured.selected_alpn_protocol() == protocol
    assert address.scheme == "https"


def certificate(home: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1 and its key, and give their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certfile, keyfile = home / "cert.pem", home / "key.pem"
    certfile.write_bytes(signed.public_bytes(Encoding.PEM))
    keyfile.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(certfile), str(keyfile)
