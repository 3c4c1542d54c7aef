"""What others on the machine see of the hub's processes."""

import pytest

from hypha_cluster.config import Config
from hypha_cluster.serving.titles import title_of


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--port", "9000"], "--port 9000"),
        (["--jwt-secret", "hush", "--port=1"], "--jwt-secret *** --port=1"),
        (["--jwt-secret=hush"], "--jwt-secret=***"),
        (["--redis-uri=redis://:hush@a"], "--redis-uri=redis://***@a"),
        (["--redis-url", "redis://me:hush@a:1"], "--redis-url redis://***@a:1"),
        (["--reset-redis", "--port", "1"], "--reset-redis --port 1"),
    ],
)
def test_a_title_is_the_command_without_its_secrets(words: list[str], shown: str) -> None:
    assert title_of("serve", words, Config.settings()) == f"hypha-cluster serve {shown}"
