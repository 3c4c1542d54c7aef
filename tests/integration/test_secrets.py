"""Secrets are looked for wherever somebody might read them: logs, metrics, traces, errors, URLs.

Everybody does what needs a secret: browsers log in and open web applications, programs come with
tokens in the way that each release has, apps start. What passes between them and the gateway is
recorded, and everything that the gateway writes down is read.
"""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from tests.browser_visit import Visit
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway, command, environment
from tests.http import Answer, ask
from tests.observability.collector import Collector
from tests.raw_client import RawClient
from tests.recorder import Recorder
from tests.server_apps import ADDER, User
from tests.sse_client import Refused, SseClient
from tests.token_rig import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Page, Request

    # A plugin, which has to be imported as one.
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.browser

PASSWORD: Final = "one that nobody guesses"
PATIENCE: Final = 60 * SECOND
# Where a secret is in the address: by the protocol of the clients, or because the address is one.
BY_DESIGN: Final = re.compile(r"/(?:ws\?|sse\?|login/invitation\?code=|apps/[^/]+/[^/]+/~)")
SHOWN_ONCE: Final = "There are no users yet"  # to the operator, on the terminal; see identity.md
TICKET: Final = re.compile(r"/~([\w-]{8,})/")


class Scene(NamedTuple):
    """A gateway that tells all it can, and who stands before it.

    secrets: by what they are. said: by the browser to others.
    """

    gateway: Gateway
    recorder: Recorder
    collector: Collector
    secrets: dict[str, str]
    said: list[str]

    @property
    def url(self) -> str:
        return self.recorder.url

    def note(self, label: str, secret: str) -> str:
        """A secret by the end of it, which is what counts of a token."""
        self.secrets[label] = secret.rpartition(".")[2]
        assert len(self.secrets[label]) >= 8, (label, secret)
        return secret

    def found_in(self, texts: list[str]) -> set[str]:
        """Which secrets are in any of these."""
        return {
            label for label, secret in self.secrets.items() if any(secret in text for text in texts)
        }


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with Recorder() as recorder:
        yield recorder


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield collector


@pytest.fixture
def scene(gateway_factory: GatewayFactory, recorder: Recorder, collector: Collector) -> Scene:
    gateway = gateway_factory(
        **{"log_level": "debug", "tracing": True, "audit": True, "jwt_secret": SECRET},
        **{"enable_server_apps": True, "in_docker": True, "app_hub_url": recorder.url},
        public_base_url=recorder.url,
    )
    recorder.port = urlsplit(gateway.url).port or 0
    return Scene(gateway, recorder, collector, {"the hub's own": SECRET}, [])


async def test_no_secret_is_where_others_read_it(
    scene: Scene, chromium: "Chromium", valkey_url: str, redis_prefix: str
) -> None:
    visit = await chromium.visit(scene.url)
    try:
        await do_all(scene, visit, valkey_url, redis_prefix)
    finally:
        await visit.close()
    note_what_was_asked(scene)
    recorder = scene.recorder
    metrics = (await ask(f"{scene.gateway.url}/metrics")).body.decode()
    await asyncio.to_thread(scene.collector.until, lambda: len(scene.collector.spans) > 20)

    errors = [answer.body + answer.head for answer in recorder.answers if answer.status >= 400]
    assert len(scene.secrets) >= 15
    assert len(errors) > 5
    assert recorder.referers, "the browser says where it comes from"
    places = {
        "log": [line for line in scene.gateway.log().splitlines() if SHOWN_ONCE not in line],
        "metrics": [metrics],
        "traces": [repr(span) for span in scene.collector.spans],
        "errors": errors,
        "addresses": [each for each in recorder.targets if not BY_DESIGN.search(each)],
        "links": [each for each in recorder.links if "~" not in each],
        "referers": recorder.referers,
        "other servers": scene.said,
    }
    assert {place: scene.found_in(texts) for place, texts in places.items()} == dict.fromkeys(
        places, set()
    )


async def do_all(scene: Scene, visit: Visit, redis_url: str, prefix: str) -> None:
    await become_admin(scene, visit)
    await make_token_on_the_account_page(scene, visit)
    await let_a_program_log_in(scene, visit)
    await open_a_web_application(scene, visit)
    await open_the_pages(scene, visit)
    token = await token_by_command(scene, redis_url, prefix)
    await connect_as_old_clients_do(scene, token)
    await use_an_event_stream(scene, token)
    await be_refused(scene, token)
    await start_an_app(scene)
    await note_cookies(scene, visit)


# Browsers.


async def become_admin(scene: Scene, visit: Visit) -> None:
    """By the link that the gateway prints."""
    printed = re.search(r"code=(\S+)", scene.gateway.log())
    assert printed
    code = scene.note("the code of an invitation", printed[1])
    assert await visit.go(f"/login/invitation?code={code}") == 200
    await visit.do(lambda page: page.fill("#name", "ann"))
    await visit.do(lambda page: page.fill("#email", "ann@example.org"))
    await visit.do(lambda page: page.fill("#password", scene.note("a password", PASSWORD)))
    await visit.do(lambda page: page.click("main button"))
    await visit.do(lambda page: page.wait_for_url("**/account"))


async def make_token_on_the_account_page(scene: Scene, visit: Visit) -> None:
    await visit.do(lambda page: page.fill("#name", "for a test"))
    await visit.do(lambda page: page.click("text=Make it"))
    made = await visit.do(lambda page: page.input_value("#made"))
    scene.note("a token of the account page", made)
    csrf = await visit.do(lambda page: page.input_value("input[name=csrf] >> nth=0"))
    scene.note("what forms have", csrf)


async def let_a_program_log_in(scene: Scene, visit: Visit) -> None:
    service = f"{scene.url}/public/services/hypha-login"
    started = (await ask(f"{service}/start")).value
    key = started["key"]
    shown = parse_qs(urlsplit(started["login_url"]).query)["key"][0]
    scene.note("the half of a key that a program has", key.removeprefix(shown))
    await visit.do(lambda page: page.goto(started["login_url"]))
    await visit.do(lambda page: page.click("button[value=allow]"))
    await visit.do(lambda page: page.wait_for_url("**/login/answer"))
    body = f'{{"key": "{key}", "timeout": 5}}'.encode()
    got = await ask(f"{service}/check", body, Content_Type="application/json")
    scene.note("the token of a login", got.value)


async def open_a_web_application(scene: Scene, visit: Visit) -> None:
    """One that leads elsewhere: what the browser says there is kept, but it does not get there."""
    elsewhere = "http://elsewhere.example"
    body = f"<a id=away href={elsewhere}/away>away</a><img src={elsewhere}/picture>"
    async with await RawClient.connect(scene.url) as provider:
        await provider.offer("site", "public", index=lambda event: {"body": body, "headers": HTML})
        api = provider.functions["services.built-in.get_service"]("site") | {"type": "functions"}
        provider.functions["services.built-in.get_service"] = lambda wanted: api
        info = {"id": f"{provider.client_id}:site", "type": "functions", "config": api["config"]}
        await provider.manager("update_client_info", {"id": provider.client_id, "services": [info]})

        def keep(request: "Request") -> None:
            if request.url.startswith(elsewhere):
                scene.said.append(f"{request.url} {request.headers}")

        await visit.do(lambda page: listen(page, keep))
        assert await visit.go(f"/{provider.workspace}/apps/site/") == 200
        await visit.do(lambda page: page.click("#away", no_wait_after=True))
        await visit.do(lambda page: until(page, lambda: "chrome-error:" in page.url))
        assert len(scene.said) >= 2


async def listen(page: "Page", keep: "Callable[[Request], None]") -> None:
    page.on("request", keep)


async def until(page: "Page", reached: "Callable[[], bool]") -> None:
    while not reached():
        await page.wait_for_timeout(20)


HTML: Final = {"content-type": "text/html"}


async def open_the_pages(scene: Scene, visit: Visit) -> None:
    """Those that hold a token of who looks, and those that lead from one to the next."""
    for path in ("/", "/account", "/account/admin", "/ann/", "/nowhere", "/playground"):
        await visit.go(path)
        holders = await visit.do(
            lambda page: page.eval_on_selector_all(
                "[data-token]", "all => all.map(one => one.dataset.token)"
            )
        )
        for number, token in enumerate(filter(None, holders)):
            scene.note(f"token {number} in {path}", token)
    await visit.go("/account")
    await visit.do(lambda page: page.click('a[href$="/account/admin"]'))
    await visit.do(lambda page: page.wait_for_url("**/account/admin"))


async def note_cookies(scene: Scene, visit: Visit) -> None:
    cookies: list[Any] = await visit.do(lambda page: page.context.cookies())
    assert cookies
    for cookie in cookies:
        scene.note(f"the cookie {cookie['name']}", cookie["value"])


# Programs.


async def token_by_command(scene: Scene, redis_url: str, prefix: str) -> str:
    run = command("token", user="eve", email="eve@example.org", role="admin", expires="1h")
    settings = {
        "JWT_SECRET": SECRET,
        "HYPHA_REDIS_URL": redis_url,
        "HYPHA_REDIS_PREFIX": prefix,
    }
    made = await asyncio.to_thread(
        subprocess.run, run, env=environment() | settings, capture_output=True, check=True
    )
    return scene.note("a token by command", made.stdout.decode().strip())


async def connect_as_old_clients_do(scene: Scene, token: str) -> None:
    """With the token in the query, and the one by which they come back."""
    client = await RawClient.connect(scene.url, "program", token=token)
    back = scene.note("a reconnection token", client.info["reconnection_token"])
    child = await client.manager("generate_token", {"scopes": [client.workspace]})
    scene.note("a child token", child)
    client.break_off()
    async with await RawClient.connect(scene.url, "program", reconnection_token=back) as client:
        for path in ("/eve/info", "/api/stats", "/eve/services"):
            answer = await ask(f"{scene.url}{path}", Authorization=f"Bearer {child}")
            assert answer.status < 500
        await client.manager("log", f"my token is {token}")


async def use_an_event_stream(scene: Scene, token: str) -> None:
    client = await SseClient.connect(scene.url, token=token)
    scene.note("a session", client.stream.query["session_id"])
    await client.manager("echo", 1)
    scene.note("the id of an event stream", client.stream.last_id)
    await client.close()


async def be_refused(scene: Scene, token: str) -> None:
    """With good secrets in the wrong place, and with spoiled ones; each error is looked at."""
    back = scene.secrets["a reconnection token"]
    for query in ({"token": token[:-2]}, {"reconnection_token": token}, {"token": f"x.y.{back}"}):
        with pytest.raises(InvalidStatus):
            await RawClient.connect(scene.url, "me", **query)
        with pytest.raises(Refused):
            await SseClient.connect(scene.url, "me", **query)
    for headers in (
        {"Authorization": f"Bearer {token[:-2]}"},
        {"Authorization": f"{token} {token}"},
    ):
        for path in ("/eve/info", "/eve/services/x/y", "/eve/apps/x/", "/api/stats"):
            for accept in ("*/*", "text/html"):
                answer: Answer = await ask(f"{scene.url}{path}", Accept=accept, **headers)
                assert answer.status >= 400
    form = f"name=ann&password={PASSWORD}x&key=".encode()
    refused = await ask(
        f"{scene.url}/login/sign-in", form, Content_Type="application/x-www-form-urlencoded"
    )
    assert refused.status >= 400
    assert (await ask(f"{scene.url}/login/invitation?code={PASSWORD[:3]}")).status >= 400


async def start_an_app(scene: Scene) -> None:
    """Its page comes with a ticket, and gets its files by another one."""
    async with await User.connect(scene.url) as user:
        app = await user.launch(ADDER, wait_for_service="default")
        assert await user.ask(app, "add", 2, 3) == 5
        await user("stop", app["id"])


def note_what_was_asked(scene: Scene) -> None:
    """Tickets and tokens in addresses, which only those who have them know."""
    for target in scene.recorder.targets:
        query = parse_qs(urlsplit(target).query)
        for name in ("token", "reconnection_token"):
            for value in query.get(name, []):
                if len(value) > 12:
                    scene.note(f"{name} {value[:5]}…{len(value)}", value)
        for ticket in TICKET.findall(target):
            scene.note(f"ticket {ticket[:3]}", ticket)
