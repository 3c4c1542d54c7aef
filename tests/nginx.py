"""nginx, installed and started for a test."""

from collections.abc import Sequence
from pathlib import Path

from tests.haproxy import NAME, Balancer, install

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx.conf"


class Nginx(Balancer):
    """nginx with the configuration that is shipped, but for its addresses."""

    name = "nginx"

    @staticmethod
    def program() -> str:
        return install("nginx")

    def _command(self) -> Sequence[str | Path]:
        configuration = self._directory / "nginx.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        globals_ = f"daemon off; pid {self._directory}/nginx.pid;"
        return [self.program(), "-e", "stderr", "-c", configuration, "-g", globals_]

    def _environment(self) -> dict[str, str]:
        return {}

    def _configuration(self) -> str:
        text = CONFIGURATION.read_text(encoding="utf-8")
        for shipped, ours in {
            "listen 9000;": f"listen 127.0.0.1:{self._port};",
            "resolver 127.0.0.11 ": f"resolver {self._names.address} ",
            "gateway:9000;": f"{NAME}:{self._gateway_port};",
        }.items():
            assert text.count(shipped) == 1, shipped
            text = text.replace(shipped, ours)
        return text
