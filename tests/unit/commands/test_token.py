"""Tokens that an operator makes say who somebody is, and for how long."""

import asyncio
import json

import pytest

from hypha_cluster.commands import token as module
from hypha_cluster.commands.token import token
from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from tests.fake_redis import FakeRedis
from tests.unit.commands.conftest import Opens

CONFIG = Config()
SETTINGS = TokenSettings(
    CONFIG.auth0_issuer,
    CONFIG.auth0_audience,
    CONFIG.auth0_namespace,
    CONFIG.token_lifetime,
    CONFIG.reconnection_token_lifetime,
)


@pytest.fixture(autouse=True)
def _cluster(fake: FakeRedis, opens: Opens) -> None:
    opens(module)
    fake.answers["get"] = b"the secret of the cluster"


def test_a_token_is_signed_with_the_secret_of_the_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    token(user="ada", email="ada@lab.example", workspace=("ws-1",), role=("admin",))

    text = capsys.readouterr().out.strip()
    identity = asyncio.run(Tokens("the secret of the cluster", SETTINGS).verify(text))
    assert (identity.id, identity.email, identity.is_anonymous) == ("ada", "ada@lab.example", False)
    assert (identity.roles, identity.scopes) == (("admin",), ("ws-1",))


@pytest.mark.parametrize("user", ["", "a/b", "a:b"])
def test_what_is_no_user_id_is_said(user: str) -> None:
    with pytest.raises(StartupError, match="a user id is not empty"):
        token(user=user)


def test_a_life_is_written_with_its_unit() -> None:
    with pytest.raises(StartupError, match="--expires must be a time such as 15m"):
        token(user="ada", expires="soon")


def test_programs_get_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    token(user="ada", expires="1h", json=True)

    made = json.loads(capsys.readouterr().out)
    identity = asyncio.run(Tokens("the secret of the cluster", SETTINGS).verify(made["token"]))
    assert identity.id == made["user"] == "ada"
    assert made["expires_in"] == 3600
