"""The descriptions of the hub and of a workspace hold: schemathesis tries what they say."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hypha_cluster.web import assets
from tests.gateways import SECOND, Gateway
from tests.http import ask
from tests.python_client import NEWEST, Local, PythonClient

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.clients

SEED = "7"
TIME = 60 * SECOND
FUNCTIONS = ("hello", "echo", "keywords_of", "awkward")
# Whether a value fits is the function's to say: types in Python are words.
JUDGED_BY_FUNCTIONS = "negative_data_rejection,positive_data_acceptance"


class Site(NamedTuple):
    """A gateway, and a workspace on it with the services `tools`, public, and `secret`."""

    url: str
    workspace: str
    token: str

    async def openapi(self, **headers: str) -> Any:
        return (await ask(f"{self.url}/{self.workspace}/openapi.json", **headers)).value


@pytest.fixture(scope="module")
def client() -> Iterator[PythonClient]:
    with PythonClient(NEWEST) as client:
        yield client


@pytest.fixture
async def site(
    client: PythonClient, shared_gateways: Callable[[int], Gateway]
) -> AsyncIterator[Site]:
    url = shared_gateways(0).url
    connection = await client.connect(url)
    service: dict[str, Any] = {name: Local(name) for name in FUNCTIONS}
    nested = {"inner": {"add": Local("add")}, "number": 5}
    for name, visibility in (("tools", "public"), ("secret", "protected")):
        await connection["register_service"](
            {"id": name, "config": {"visibility": visibility}, **service, **nested}
        )
    yield Site(url, connection.workspace, await connection["generate_token"]())
    await connection["disconnect"]()


async def tried(url: str, folder: Path, *options: str, config: str = "") -> tuple[int, str]:
    """Have schemathesis try a description; its exit code, and what it says."""
    (folder / "schemathesis.toml").write_text(config)
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--seed", SEED]
    command += ["--max-examples", "5", "--no-color", "--phases", "coverage,fuzzing", *options]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=TIME
    )
    return done.returncode, done.stdout + done.stderr


async def test_what_the_hub_says_of_its_own_addresses_holds(site: Site, tmp_path: Path) -> None:
    parameters = {"workspace": site.workspace, "service": "tools", "function": "keywords_of"}
    known = "".join(f'"path.{name}" = "{value}"\n' for name, value in parameters.items())

    code, said = await tried(f"{site.url}/openapi.json", tmp_path, config=f"[parameters]\n{known}")

    assert code == 0, said


async def test_what_is_said_of_a_workspace_holds(site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/{site.workspace}/openapi.json"
    headers = ["-H", f"Authorization: Bearer {site.token}", "--exclude-path-regex", "inner"]

    code, said = await tried(url, tmp_path, "--exclude-checks", JUDGED_BY_FUNCTIONS, *headers)

    assert code == 0, said


async def test_a_function_is_described_by_its_signature_and_docs(site: Site) -> None:
    found = await site.openapi()

    hello = found["paths"][f"/{site.workspace}/services/tools/hello"]
    added = found["paths"][f"/{site.workspace}/services/tools/inner.add"]
    assert found["openapi"] == "3.1.0"
    assert found["servers"] == [{"url": site.url}]
    assert hello["get"]["summary"] == "Greet somebody."
    assert "hello(name='world')" in hello["get"]["description"]
    assert hello["get"]["parameters"] == [
        {"name": "name", "in": "query", "required": False, "schema": {"default": "world"}}
    ]
    body = added["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["a"]
    assert body["additionalProperties"] is False


async def test_what_is_protected_is_described_to_members(site: Site) -> None:
    to_strangers, to_members = (
        await site.openapi(),
        await site.openapi(Authorization=f"Bearer {site.token}"),
    )

    secret = f"/{site.workspace}/services/secret/hello"
    assert secret not in to_strangers["paths"]
    assert secret in to_members["paths"]


async def test_a_provider_that_does_not_answer_keeps_nobody_waiting(
    site: Site, client: PythonClient
) -> None:
    other = await client.connect(site.url, workspace=site.workspace, token=site.token)
    await other["register_service"]({"id": "gone", "config": {"visibility": "public"}})
    await other["disconnect"]()

    assert await site.openapi()


@pytest.mark.browser
@pytest.mark.skipif(not assets.is_there("swagger-ui-dist"), reason="`make assets` gets it")
async def test_a_person_calls_a_function_from_the_page(site: Site, chromium: Any) -> None:
    async def use() -> tuple[str, list[str]]:
        page, faults = await chromium.new_page(), list[str]()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        try:
            await page.goto(f"{site.url}/api-docs?workspace={site.workspace}")
            await page.get_by_text("/services/tools/hello").first.click()
            await page.get_by_role("button", name="Try it out").click()
            await page.get_by_placeholder("name").fill("John")
            await page.get_by_role("button", name="Execute").click()
            answers = page.locator(".live-responses-table")
            return await answers.get_by_text("Hello John").first.inner_text(), faults
        finally:
            await page.close()

    shown, faults = await chromium.loop.run(use())

    assert "Hello John" in shown
    assert faults == []
