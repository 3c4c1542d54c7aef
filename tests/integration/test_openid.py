"""Access tokens of an OpenID Connect issuer, which is a real HTTPS server here."""

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk, jwt
from jose.backends.base import Key
from jose.utils import base64url_encode

from hypha_cluster.config import Config
from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity import fetching
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.supervision import Supervisor
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.integration.test_tokens import info_of, refusal_of
from tests.token_rig import SECRET, SETTINGS, signed, unsigned

AUDIENCE = Config().auth0_audience
NAMESPACE = Config().auth0_namespace
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"

Answer = tuple[int, bytes, dict[str, str]]


class Signer(NamedTuple):
    """A private key of the issuer."""

    kid: str
    algorithm: str
    private: Key

    @property
    def public(self) -> dict[str, Any]:
        return self.private.public_key().to_dict() | {"kid": self.kid, "use": "sig"}

    def sign(self, claims: dict[str, Any], kid: str | None = None) -> str:
        headers = {"kid": self.kid if kid is None else kid}
        return jwt.encode(claims, self.private, self.algorithm, headers)


class Issuer:
    """Serves its discovery document and keys; what it answers can be changed while it runs."""

    def __init__(self, certificate: Path | None) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/"
        self.answer(DISCOVERY, {"issuer": self.url, "jwks_uri": f"{self.url}keys"})

    @contextmanager
    def running(self) -> Iterator["Issuer"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def answer(self, path: str, document: object, status: int = 200, **headers: str) -> None:
        self.answers[path] = (status, json.dumps(document).encode(), headers)

    def use(self, *signers: Signer, path: str = "/keys", **other: Any) -> None:
        """Publish these keys, and no others any more."""
        self.answer(path, {"keys": [signer.public | other for signer in signers]})

    def claims(self, **changed: Any) -> dict[str, Any]:
        claims = {
            "iss": self.url,
            "sub": "auth0|john",
            "aud": [AUDIENCE, f"{self.url}userinfo"],
            "iat": int(time.time()),
            "exp": int(time.time()) + 600,
            "azp": "a client",
            "scope": "openid email",
            f"{NAMESPACE}email": "john@example.org",
            f"{NAMESPACE}roles": ["curator"],
        } | changed
        return {name: value for name, value in claims.items() if value is not ...}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, body, headers = issuer.answers.get(self.path, (404, b"", {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler


class Clock:
    """A time that passes when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def signer(kid: str, algorithm: str = "RS256", size: int = 2048) -> Signer:
    private: Any = (
        rsa.generate_private_key(65537, size)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Signer(kid, algorithm, jwk.construct(pem, algorithm))


RSA = signer("rsa-1")
RSA_2 = signer("rsa-2")
EC = signer("ec-1", "ES256")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now, host = datetime.now(UTC), x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("issuer") / "issuer.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


@pytest.fixture
def issuer(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """Run an issuer with two keys, whose certificate this process and its gateways trust."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Issuer(certificate).running() as issuer:
        issuer.use(RSA, EC)
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> Tokens:
    return Tokens(SECRET, SETTINGS, OpenIdKeys(issuer.url, Supervisor(), clock))


@pytest.fixture
def gateway(issuer: Issuer, gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(openid_issuer=issuer.url, jwt_secret=SECRET)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
async def test_a_token_says_who_its_bearer_is(tokens: Tokens, issuer: Issuer, key: Signer) -> None:
    claims = issuer.claims()

    identity = await tokens.verify(key.sign(claims))

    assert identity.to_wire() == {
        "id": "auth0|john",
        "roles": ["curator"],
        "is_anonymous": False,
        "email": "john@example.org",
        "parent": None,
        "scopes": ["openid", "email"],
        "expires_at": claims["exp"],
    }


async def test_a_user_without_an_email_address_is_anonymous(tokens: Tokens, issuer: Issuer) -> None:
    claims = issuer.claims(scope=..., **{f"{NAMESPACE}email": ..., f"{NAMESPACE}roles": ...})

    identity = await tokens.verify(RSA.sign(claims))

    assert identity.is_anonymous
    assert (identity.email, identity.roles, identity.scopes) == (None, (), ())


async def test_an_issuer_makes_nobody_a_child_of_the_hub(tokens: Tokens, issuer: Issuer) -> None:
    identity = await tokens.verify(RSA.sign(issuer.claims(parent="root")))

    assert identity.parent is None


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://elsewhere/"},
        {"aud": ...},
        {"iss": "https://elsewhere/"},
        {"iss": ...},
        {"sub": ...},
        {"sub": ""},
        {"sub": "root"},
        {"sub": "public"},
        {"exp": ...},
        {"exp": 1},
        {"exp": "2999999999"},
        {"exp": float("inf")},
        {"nbf": 2_999_999_999},
        {"scope": ["lab"]},
        {f"{NAMESPACE}roles": "admin"},
        {f"{NAMESPACE}email": ["a@example.org"]},
    ],
    ids=str,
)
async def test_a_token_with_a_bad_claim_is_refused(
    tokens: Tokens, issuer: Issuer, changed: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await tokens.verify(RSA.sign(issuer.claims(**changed)))


async def test_the_issuers_name_is_taken_literally(tokens: Tokens, issuer: Issuer) -> None:
    with pytest.raises(InvalidToken, match="issuer"):
        await tokens.verify(RSA.sign(issuer.claims(iss=issuer.url.rstrip("/"))))


def forged(issuer: Issuer) -> dict[str, str]:
    """Tokens that nobody of the issuer's made, by the trick in them."""
    claims = issuer.claims()
    return {
        "unsigned": unsigned({"alg": "none"}, claims),
        "unsigned with a key's id": unsigned({"alg": "none", "kid": "rsa-1"}, claims),
        "empty signature": unsigned({"alg": "RS256", "kid": "rsa-1"}, claims),
        "public key as a secret": with_public_key_as_secret(claims, "HS256"),
        "a secret's signature said to be RSA's": with_public_key_as_secret(claims, "RS256"),
        "the hub's secret": jwt.encode(claims, SECRET, headers={"kid": "rsa-1"}),
        "a stranger's key": RSA_2.sign(claims, kid="rsa-1"),
        "an unknown key": RSA_2.sign(claims),
        "an RSA key by the id of another type": RSA.sign(claims, kid="ec-1"),
        "an EC key by the id of another type": EC.sign(claims, kid="rsa-1"),
        "a longer hash": jwt.encode(claims, RSA.private.to_pem(), "RS512", {"kid": "rsa-1"}),
        "a key in the header": jwt.encode(
            claims, RSA_2.private, "RS256", {"kid": "x", "jwk": RSA_2.public}
        ),
        "an id that is a list": jwt.encode(claims, RSA.private, "RS256", {"kid": ["rsa-1"]}),
    }


def with_public_key_as_secret(claims: dict[str, Any], algorithm: str) -> str:
    text = unsigned({"alg": algorithm, "kid": "rsa-1"}, claims).rstrip(".")
    pem = RSA.private.public_key().to_pem()
    signature = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64url_encode(signature).decode()}"


@pytest.mark.parametrize("prefix", ["", "john@imjoy@"])
async def test_forged_tokens_are_refused(tokens: Tokens, issuer: Issuer, prefix: str) -> None:
    for trick, token in forged(issuer).items():
        with pytest.raises(InvalidToken) as refused:
            await tokens.verify(prefix + token)
        assert "token" in str(refused.value), trick
        assert not any(part and part in str(refused.value) for part in token.split("."))


async def test_a_token_of_the_issuer_is_none_of_the_hubs(tokens: Tokens, issuer: Issuer) -> None:
    with pytest.raises(InvalidToken):
        await tokens.verify(f"auth0|john@imjoy@{RSA.sign(issuer.claims())}")
    with pytest.raises(InvalidToken):
        tokens.verify_reconnection(RSA.sign(issuer.claims()))


async def test_the_issuer_is_not_asked_about_what_it_never_signs(
    tokens: Tokens, issuer: Issuer
) -> None:
    for token in (signed(issuer.claims(), kid="rsa-1"), unsigned({"alg": "none"}, {}), "x", "x@y"):
        with pytest.raises(InvalidToken):
            await tokens.verify(token)

    assert issuer.asked == []


async def test_keys_are_fetched_once(tokens: Tokens, issuer: Issuer) -> None:
    token = RSA.sign(issuer.claims())

    await asyncio.gather(*(tokens.verify(token) for _ in range(20)))
    await tokens.verify(EC.sign(issuer.claims()))

    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_one_who_gives_up_waiting_takes_the_keys_from_nobody(
    tokens: Tokens, issuer: Issuer
) -> None:
    token = RSA.sign(issuer.claims())
    first = asyncio.create_task(tokens.verify(token))
    second = asyncio.create_task(tokens.verify(token))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second).id == "auth0|john"
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_a_new_key_is_fetched_when_it_is_met(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(RSA.sign(issuer.claims()))

    issuer.use(RSA_2)

    await tokens.verify(RSA_2.sign(issuer.claims()))
    with pytest.raises(InvalidToken):
        await tokens.verify(RSA.sign(issuer.claims()))


async def test_a_key_that_was_withdrawn_serves_no_longer_than_ten_minutes(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    token = RSA.sign(issuer.claims())
    await tokens.verify(token)
    issuer.use(EC)

    clock.now += 599
    await tokens.verify(token)
    clock.now += 1

    with pytest.raises(InvalidToken, match="does not have"):
        await tokens.verify(token)


async def test_unknown_keys_do_not_make_the_hub_pester_the_issuer(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(RSA.sign(issuer.claims()))

    for number in range(20):
        with pytest.raises(InvalidToken):
            await tokens.verify(RSA_2.sign(issuer.claims(), kid=f"made-up-{number}"))
        clock.now += 0.4
    assert issuer.asked == [DISCOVERY, "/keys"] * 2
    await tokens.verify(RSA.sign(issuer.claims()))

    issuer.use(RSA_2)
    clock.now += 10
    await tokens.verify(RSA_2.sign(issuer.claims()))


async def test_known_keys_serve_on_while_the_issuer_is_down(
    tokens: Tokens, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    token = RSA.sign(issuer.claims())
    await tokens.verify(token)
    issuer.answers.clear()

    clock.now += 3600
    for _ in range(5):
        await tokens.verify(token)
    assert len(issuer.asked) == 4
    assert "answers with 404" in caplog.text
    assert token not in caplog.text

    issuer.use(RSA_2, path=JWKS)
    clock.now += 10
    await tokens.verify(RSA_2.sign(issuer.claims()))


async def test_without_the_issuers_keys_nobody_is_let_in(
    certificate: Path, issuer: Issuer, clock: Clock
) -> None:
    with Issuer(certificate).running() as gone:
        pass
    tokens = Tokens(SECRET, SETTINGS, OpenIdKeys(gone.url, Supervisor(), clock))

    with pytest.raises(InvalidToken, match="does not tell its keys"):
        await tokens.verify(RSA.sign(issuer.claims(iss=gone.url)))


async def test_a_silent_issuer_holds_up_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fetching, "ANSWER_TIME", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        tokens = Tokens(SECRET, SETTINGS, OpenIdKeys(url, Supervisor()))

        assert "timed out" in await refused_with(tokens, RSA.sign({}), caplog)


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tokens: Tokens, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    with pytest.raises(InvalidToken, match="does not tell its keys"):
        await tokens.verify(RSA.sign(issuer.claims()))

    assert issuer.asked == []


async def test_an_issuer_may_have_no_discovery(tokens: Tokens, issuer: Issuer) -> None:
    issuer.answers.clear()
    issuer.use(RSA, path=JWKS)

    await tokens.verify(RSA.sign(issuer.claims()))

    assert issuer.asked == [DISCOVERY, JWKS]


async def test_an_issuer_may_have_a_path_and_no_slash(issuer: Issuer, clock: Clock) -> None:
    realm = f"{issuer.url}realms/lab"
    issuer.answer(f"/realms/lab{DISCOVERY}", {"issuer": realm, "jwks_uri": f"{issuer.url}keys"})
    tokens = Tokens(SECRET, SETTINGS, OpenIdKeys(realm, Supervisor(), clock))

    identity = await tokens.verify(EC.sign(issuer.claims(iss=realm)))

    assert identity.id == issuer.claims()["sub"]


async def test_a_token_need_not_name_the_only_key(tokens: Tokens, issuer: Issuer) -> None:
    nameless = jwt.encode(issuer.claims(), RSA.private, "RS256")

    await tokens.verify(nameless)
    issuer.use(RSA, RSA_2)
    await tokens.verify(RSA_2.sign(issuer.claims()))

    with pytest.raises(InvalidToken):
        await tokens.verify(nameless)


async def refused_with(tokens: Tokens, token: str, caplog: pytest.LogCaptureFixture) -> str:
    with pytest.raises(InvalidToken):
        await tokens.verify(token)
    return caplog.text


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"keys": []}, "no RSA or P-256 key"),
        ({"keys": [None, 5, {"kty": ["RSA"]}, {"kty": "RSA", "n": "AQAB"}]}, "left out"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"}]}, "no RSA or P-256 key"),
        ({"keys": [signer("rsa-1", size=1024).public]}, "1024 bits is not safe"),
        ({"keys": [RSA.public | {"use": "enc"}]}, "no RSA or P-256 key"),
        ({"keys": [RSA.public | {"alg": "HS256"}]}, "no RSA or P-256 key"),
        ({"keys": [RSA.public | {"key_ops": ["sign"]}]}, "no RSA or P-256 key"),
        ({"keys": [RSA.public | {"kid": {}}]}, "left out"),
        (["keys"], "no JSON object"),
        ({"keys": ["x" * 300_000]}, "more than 262144 bytes"),
    ],
)
async def test_keys_that_are_no_use_are_left_out(
    tokens: Tokens,
    issuer: Issuer,
    caplog: pytest.LogCaptureFixture,
    document: object,
    complaint: str,
) -> None:
    issuer.answer("/keys", document)

    assert complaint in await refused_with(tokens, RSA.sign(issuer.claims()), caplog)


async def test_one_bad_key_does_not_spoil_the_others(tokens: Tokens, issuer: Issuer) -> None:
    issuer.answer("/keys", {"keys": [None, {"kty": "EC", "crv": "P-256", "x": 1}, EC.public]})

    identity = await tokens.verify(EC.sign(issuer.claims()))

    assert identity.id == issuer.claims()["sub"]


async def test_an_issuer_that_calls_itself_differently_is_refused(
    tokens: Tokens, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answer(DISCOVERY, {"issuer": issuer.url[:-1], "jwks_uri": f"{issuer.url}keys"})

    said = await refused_with(tokens, RSA.sign(issuer.claims()), caplog)
    assert f"it calls itself '{issuer.url[:-1]}'" in said


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
async def test_keys_come_by_https_only(
    tokens: Tokens, issuer: Issuer, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    elsewhere = issuer.url.replace("https:", f"{scheme}:") + "keys"
    issuer.answer(DISCOVERY, {"issuer": issuer.url, "jwks_uri": elsewhere})

    said = await refused_with(tokens, RSA.sign(issuer.claims()), caplog)

    assert "does not begin with https://" in said
    assert issuer.asked == [DISCOVERY]


async def test_redirects_lead_to_https_only(
    tokens: Tokens, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answer("/keys", {}, 302, Location=issuer.url.replace("https:", "http:") + "new")
    said = await refused_with(tokens, RSA.sign(issuer.claims()), caplog)
    assert "does not begin with https://" in said

    issuer.answer("/keys", {}, 302, Location="/new")
    issuer.use(RSA, path="/new")
    clock.now += 10
    await tokens.verify(RSA.sign(issuer.claims()))


async def test_an_issuer_on_this_machine_may_do_without_https(clock: Clock) -> None:
    with Issuer(None).running() as issuer:
        issuer.use(RSA)
        tokens = Tokens(SECRET, SETTINGS, OpenIdKeys(issuer.url, Supervisor(), clock))

        identity = await tokens.verify(RSA.sign(issuer.claims()))

    assert identity.id == issuer.claims()["sub"]
    assert issuer.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
async def test_a_gateway_lets_the_bearer_of_a_token_in(
    gateway: Gateway, issuer: Issuer, key: Signer
) -> None:
    claims = issuer.claims()

    info = await info_of(gateway.url, token=key.sign(claims))

    assert info["workspace"] == "auth0|john"
    assert info["user_info"] == {
        "id": "auth0|john",
        "roles": ["curator"],
        "is_anonymous": False,
        "email": "john@example.org",
        "parent": None,
        "scopes": ["openid", "email"],
        "expires_at": claims["exp"],
    }


async def test_a_gateway_takes_up_new_keys(gateway: Gateway, issuer: Issuer) -> None:
    old = RSA.sign(issuer.claims())
    await info_of(gateway.url, token=old)

    issuer.use(RSA_2)

    await info_of(gateway.url, token=RSA_2.sign(issuer.claims()))
    assert "does not have" in await refusal_of(gateway.url, token=old)


async def test_a_gateway_refuses_forged_tokens(gateway: Gateway, issuer: Issuer) -> None:
    for token in forged(issuer).values():
        assert await refusal_of(gateway.url, token=token)
        assert await refusal_of(gateway.url, token=f"john@imjoy@{token}")
    wrong = RSA.sign(issuer.claims(aud="https://elsewhere/"))
    assert await refusal_of(gateway.url, token=wrong) == "Invalid token: Invalid audience"
    late = RSA.sign(issuer.claims(exp=1))
    assert await refusal_of(gateway.url, token=late) == "The token has expired; get a new one."
    assert (await info_of(gateway.url, token=RSA.sign(issuer.claims())))["workspace"]


async def test_a_gateway_goes_on_while_its_issuer_is_down(
    certificate: Path, gateway_factory: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Issuer(certificate).running() as issuer:
        issuer.use(RSA)
        gateway = gateway_factory(openid_issuer=issuer.url)
        await info_of(gateway.url, token=RSA.sign(issuer.claims()))

    assert await info_of(gateway.url, token=RSA.sign(issuer.claims()))
    assert await refusal_of(gateway.url, token=RSA_2.sign(issuer.claims()))


async def test_a_gateway_trusts_no_issuer_unless_one_is_named(
    gateway_factory: GatewayFactory, issuer: Issuer
) -> None:
    gateway = gateway_factory()

    for iss in (issuer.url, "https://imjoy.eu.auth0.com/"):
        admin = issuer.claims(iss=iss, **{f"{NAMESPACE}roles": ["admin"]})
        said = await refusal_of(gateway.url, token=RSA.sign(admin))
        assert "only tokens that it made itself" in said
        assert "--openid-issuer" in said
    assert issuer.asked == []
