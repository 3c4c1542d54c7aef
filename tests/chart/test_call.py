"""The script of `helm test`, as its pod would run it, against real gateways."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.chart.rendering import NAME, Object, one, render, variant
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.redis_servers import make_certificate


def call(pod: Object, hub: str) -> subprocess.CompletedProcess[str]:
    """Run what the pod would, against another hub."""
    (container,) = pod["spec"]["containers"]
    python, *flags = container["command"]
    script, url = container["args"]
    assert (python, flags) == ("python", ["-c"])
    assert url == f"{urlsplit(hub).scheme}://{NAME}:9000"
    return subprocess.run(
        [sys.executable, *flags, script, hub],
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        check=False,
    )


def test_the_call_is_made_whichever_gateways_the_service_chooses(
    gateway_factory: GatewayFactory,
) -> None:
    two = gateway_factory(workers=2, base_path="/hypha")

    done = call(one(render({}), "Pod"), two.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert "5 calls" in done.stdout


def test_the_call_is_made_over_https(tmp_path: Path, gateway_factory: GatewayFactory) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    gateway = gateway_factory(certfile=str(certificate), keyfile=str(key))

    done = call(one(render(variant("gateway_api")), "Pod"), gateway.url)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_hub_that_is_not_there_is_a_failure() -> None:
    done = call(one(render({}), "Pod"), "http://127.0.0.1:9")

    assert done.returncode != 0
    assert "Connect call failed" in done.stderr
