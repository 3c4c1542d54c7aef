"""The settings of logging in."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from hypha_cluster.errors import StartupError
from hypha_cluster.features.feature import Grounds
from hypha_cluster.identity.providers import ProviderSettings
from hypha_cluster.settings import HOUR, MINUTE, YEAR, setting

PAGE: Final = "/public/apps/hypha-login/"
SESSION_LIFETIME: Final = 12 * HOUR  # of somebody who has signed in with a browser


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """Who can be a user with a name."""

    login: str = setting(
        "local",
        "Who can log in: users with a password, those of an OpenID issuer, or nobody.",
        choices=("local", "openid", "none"),
    )
    login_time: float = setting(
        180.0,
        "How long a program waits for a login.",
        "seconds",
        within=(10.0, HOUR),
        also=("MAXIMUM_LOGIN_TIME",),
    )
    login_token_lifetime: float = setting(
        30 * 24 * HOUR,
        "Life of the token that a program gets by a login.",
        "seconds",
        within=(MINUTE, 10 * YEAR),
    )
    login_report: str = setting(
        "get",
        "How a page of your own may report a token that ends a login: by POST alone, or by GET "
        "too, as pages of the original do, which leave the token in logs and histories.",
        choices=("get", "post"),
    )
    openid_client_id: str = setting(
        "",
        "What this hub is called at the OpenID issuer that users log in at.",
        also=("AUTH0_CLIENT_ID",),
    )
    openid_secret_file: str = setting("", "File that holds its secret there; empty = it has none.")
    openid_name: str = setting("OpenID", "What the login page calls that issuer.")
    openid_roles_claim: str = setting(
        "",
        "Where that issuer says a user's roles, such as realm_access.roles; empty = the claim "
        "roles behind --auth0-namespace.",
    )
    openid_trust_email: bool = setting(
        False, "Take e-mail addresses that the issuer does not call verified."
    )
    openid_providers: str = setting(
        "", "JSON file with more issuers that users log in at; docs/identity.md has its form."
    )
    admins: str = setting(
        "", "E-mail addresses of users of an issuer who are admins here, with commas between."
    )

    @property
    def is_local(self) -> bool:
        """Whether users have passwords that the hub keeps."""
        return self.login == "local"

    def is_admins(self, email: str | None) -> bool:
        """Whether an address is one of `admins`."""
        return (email or "").lower() in (a.strip().lower() for a in self.admins.split(",") if a)


def providers_of(settings: LoginSettings, grounds: Grounds) -> tuple[ProviderSettings, ...]:
    """The issuers that users log in at; StartupError."""
    if settings.login != "openid":
        return ()
    first = ProviderSettings(
        name=settings.openid_name,
        issuer=grounds.issuer,
        client_id=settings.openid_client_id,
        client_secret=_read(settings.openid_secret_file, "openid_secret_file").strip(),
        roles_claim=settings.openid_roles_claim or f"{grounds.claims}roles",
        trust_email=settings.openid_trust_email,
    )
    more = _read_providers(settings.openid_providers)
    found = (first, *more) if first.client_id and first.issuer else more
    if not found:
        raise StartupError(
            "--login openid needs --openid-issuer and --openid-client-id, or --openid-providers"
        )
    if len({provider.name for provider in found}) < len(found):
        raise StartupError("two providers of --openid-providers have one name")
    return found


def _read_providers(path: str) -> tuple[ProviderSettings, ...]:
    """Those of a file: a JSON list of maps with the fields of ProviderSettings."""
    if not path:
        return ()
    known = {field.name for field in fields(ProviderSettings)}
    text = _read(path, "openid_providers")
    try:
        return tuple(ProviderSettings(**entry) for entry in json.loads(text))
    except (ValueError, TypeError):
        raise StartupError(
            f"openid_providers: {path} must be a JSON list of maps with name, issuer, client_id "
            f"and, if needed, others of {', '.join(sorted(known))}"
        ) from None


def _read(path: str, name: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{name}: {path} cannot be read: {error}") from None
