"""How an operator says who can log in."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.login.login import Login
from hypha_cluster.features.login.terms import LoginSettings, providers_of
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.identity.providers import ProviderSettings

ISSUER = "https://issuer.example.org/"
KEYCLOAK = {"name": "Keycloak", "issuer": "https://k.example.org/realms/lab", "client_id": "hub"}


def grounds(issuer: str = ISSUER) -> Any:
    return Mock(issuer=issuer, claims="https://claims/")


def load(**environ: str) -> Any:
    ((_, settings),) = HubSettings.load([], environ, [Login]).features
    return settings


def test_users_have_passwords_unless_an_issuer_is_named() -> None:
    assert LoginSettings().is_local
    assert providers_of(LoginSettings(), grounds()) == ()
    assert providers_of(LoginSettings(login="none"), grounds()) == ()


def test_the_variables_of_the_original_are_read() -> None:
    settings = load(AUTH0_CLIENT_ID="me", MAXIMUM_LOGIN_TIME="60", HYPHA_LOGIN="openid")

    assert settings == LoginSettings("openid", login_time=60.0, openid_client_id="me")


def test_the_issuer_of_tokens_is_where_users_log_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    settings = LoginSettings(
        "openid", openid_client_id="hub", openid_secret_file=str(secret), openid_name="Lab"
    )

    (provider,) = providers_of(settings, grounds())

    assert provider == ProviderSettings(
        "Lab", ISSUER, "hub", "hush", roles_claim="https://claims/roles"
    )


def test_there_may_be_more_issuers(tmp_path: Path) -> None:
    path = tmp_path / "providers.json"
    path.write_text(json.dumps([KEYCLOAK, {**KEYCLOAK, "name": "Other", "trust_email": True}]))
    alone = LoginSettings("openid", openid_providers=str(path))
    beside = LoginSettings("openid", openid_client_id="hub", openid_providers=str(path))

    assert [p.name for p in providers_of(alone, grounds(""))] == ["Keycloak", "Other"]
    assert [p.name for p in providers_of(beside, grounds())] == ["OpenID", "Keycloak", "Other"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "must be a JSON list"),
        ("{}", "needs --openid-issuer"),
        ("[]", "needs --openid-issuer"),
        ("[{}]", "must be a JSON list"),
        (json.dumps([{**KEYCLOAK, "colour": "red"}]), "must be a JSON list"),
        (json.dumps([KEYCLOAK, KEYCLOAK]), "have one name"),
    ],
)
def test_a_file_that_makes_no_sense_stops_the_start(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "providers.json"
    path.write_text(content)

    with pytest.raises(StartupError, match=complaint):
        providers_of(LoginSettings("openid", openid_providers=str(path)), grounds(""))


@pytest.mark.parametrize(
    "settings",
    [
        LoginSettings("openid"),
        LoginSettings("openid", openid_providers="/nowhere"),
        LoginSettings("openid", openid_client_id="hub", openid_secret_file="/nowhere"),
    ],
)
def test_an_issuer_that_cannot_be_used_stops_the_start(settings: LoginSettings) -> None:
    with pytest.raises(StartupError, match="openid"):
        providers_of(settings, grounds())


@pytest.mark.parametrize(
    ("email", "is_admin"),
    [("ann@example.org", True), ("BOB@example.org", True), ("x@example.org", False), (None, False)],
)
def test_admins_are_named_by_their_addresses(email: str | None, is_admin: bool) -> None:
    settings = LoginSettings(admins="ann@example.org, bob@Example.org,")

    assert settings.is_admins(email) == is_admin
