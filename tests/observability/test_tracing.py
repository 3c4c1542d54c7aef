"""Traces: one from a caller through both gateways to the callee."""

import asyncio
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.observability.collector import Collector, Span
from tests.python_client import NEWEST, OLDEST, Local, PythonClient
from tests.raw_client import NO_ANSWER, RawClient, Received, Rejected, call_envelope

if TYPE_CHECKING:  # pytest wants to be the first to import its plugins
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]


class Traced(NamedTuple):
    """Two gateways, and what they send their traces to."""

    first: Gateway
    second: Gateway
    collector: Collector


@pytest.fixture
def traced(gateway_factory: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        # One reports well after the other, as they do when the machine is busy.
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "300")
        first = gateway_factory(tracing=True, node_name="first")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        second = gateway_factory(tracing=True, node_name="second")
        yield Traced(first, second, collector)


def new_trace() -> tuple[str, str, str]:
    """Return a trace id, a span id, and the header that says both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-01"


def path(collector: Collector, trace: str) -> list[Span]:
    """The spans of a trace from the outermost to the innermost; there must be one line of them.

    Each gateway reports in its own time, the middle of a line perhaps after both of its ends.
    """
    collector.until(lambda: bool(line_of(collector, trace)))
    return line_of(collector, trace)


def line_of(collector: Collector, trace: str) -> list[Span]:
    """The same; empty, if they are not one line."""
    found = [span for span in collector.spans if span.trace == trace]
    spans = {span.parent: span for span in found}
    beginnings = spans.keys() - {span.id for span in found}
    if len(spans) < len(found) or len(beginnings) != 1:
        return []
    (parent,), line = beginnings, list[Span]()
    while parent in spans:
        line.append(spans[parent])
        parent = spans[parent].id
    return line if len(line) == len(found) else []


def call_of(client: RawClient, method: str) -> Received:
    return next(frame for frame in client.received if frame.method == method)


def get(url: str, **headers: str) -> bytes:
    asked = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(asked, timeout=30 * SECOND) as answer:
        body: bytes = answer.read()
        return body


async def test_a_call_over_http_is_one_trace_to_the_callee(traced: Traced) -> None:
    first, second, collector = traced
    trace, caller, header = new_trace()
    async with await RawClient.connect(first.url) as provider:
        await provider.offer("greet", "public", hello=lambda kwargs: f"Hello {kwargs['name']}")
        url = f"{second.url}/{provider.workspace}/services/greet/hello?name=me"
        await asyncio.to_thread(get, url)  # so that it is known what is offered

        answer = await asyncio.to_thread(get, url, traceparent=header)

        calls = [frame for frame in provider.received if frame.method == "services.greet.hello"]
    await asyncio.to_thread(
        collector.until, lambda: len([s for s in collector.spans if s.trace == trace]) == 4
    )
    line = path(collector, trace)

    assert answer == b'"Hello me"'
    assert [(span.node, span.name, span.kind) for span in line] == [
        ("second", "GET /{workspace}/services/{service}/{function}", "server"),
        ("second", "call greet.hello", "client"),
        ("second", "relay", "producer"),
        ("first", "deliver greet.hello", "consumer"),
    ]
    assert line[0].parent == caller
    assert calls[-1].envelope["traceparent"] == f"00-{trace}-{line[-1].id}-01"
    assert not any(span.failed for span in line)


async def test_a_call_by_websocket_may_bring_its_trace(traced: Traced) -> None:
    first, second, collector = traced
    trace, span, header = new_trace()
    async with (
        await RawClient.connect(first.url) as provider,
        await RawClient.connect(second.url) as caller,
    ):
        await provider.offer("greet", "public", hello=lambda name: f"Hello {name}")
        envelope = call_envelope(provider.address, "services.greet.hello", traceparent=header)

        assert await caller.place(envelope, {"args": ["me"]}) == "Hello me"

        received = call_of(provider, "services.greet.hello")
        answer = next(frame for frame in caller.received if frame.method.endswith(".resolve"))
    await asyncio.to_thread(
        collector.until, lambda: len([s for s in collector.spans if s.trace == trace]) == 3
    )
    line = path(collector, trace)

    assert [(span.node, span.name, span.kind) for span in line] == [
        ("second", "call greet.hello", "server"),
        ("second", "relay", "producer"),
        ("first", "deliver greet.hello", "consumer"),
    ]
    assert line[0].parent == span
    assert line[0].attributes["hypha.caller"] == caller.address
    assert line[0].attributes["hypha.target"] == provider.address
    assert received.envelope["traceparent"] == f"00-{trace}-{line[-1].id}-01"
    assert received.envelope["from"] == caller.address
    assert "traceparent" not in answer.envelope


async def test_a_call_that_fails_is_shown_as_failed(traced: Traced) -> None:
    first, second, collector = traced
    async with (
        await RawClient.connect(first.url) as provider,
        await RawClient.connect(second.url) as caller,
    ):
        await provider.offer("greet", "public", fail=lambda: NO_ANSWER)
        failing = asyncio.create_task(caller.call(provider.address, "services.greet.fail"))
        called = await provider.until(lambda frame: frame.method == "services.greet.fail")
        reject = called.body["promise"]["reject"]["_rmethod"]
        error = {"_rtype": "error", "_rvalue": "no"}
        await provider.send(call_envelope(caller.address, reject), {"args": [error]})
        with pytest.raises(Rejected, match="no"):
            await failing
        with pytest.raises(Rejected, match="not connected"):
            await caller.call(f"{provider.workspace}/nobody", "services.greet.lost")
    await asyncio.to_thread(
        collector.until,
        lambda: {"deliver greet.fail", "call greet.lost"} <= {s.name for s in collector.spans},
    )

    for name in ("call greet.fail", "deliver greet.fail", "call greet.lost"):
        assert [span.failed for span in collector.named(name)] == [True], name


@pytest.mark.clients
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
async def test_published_clients_take_no_notice(traced: Traced, release: str) -> None:
    first, second, collector = traced
    with PythonClient(release) as program:
        provider = await program.connect(first.url)
        service = {"id": "greet", "config": {"visibility": "public"}, "echo": Local("echo")}
        await provider["register_service"](service)
        caller = await program.connect(second.url)
        echo = (await caller["get_service"]("greet"))["echo"]

        assert [await echo(text) for text in ("a", "b", "c" * 600_000)][:2] == ["a", "b"]

    def traces() -> set[str]:
        """Return those that both gateways have reported, each in its own time."""
        ends = (collector.named("call greet.echo"), collector.named("deliver greet.echo"))
        called, delivered = ({span.trace for span in spans} for spans in ends)
        return called & delivered

    await asyncio.to_thread(collector.until, lambda: len(traces()) >= 2)
    for trace in traces():
        names = [(span.node, span.name) for span in path(collector, trace)]
        assert names[0] == ("second", "call greet.echo")
        assert names[-1] == ("first", "deliver greet.echo")


@pytest.mark.browser
@pytest.mark.clients
async def test_a_function_of_a_page_finds_its_trace_in_its_context(
    traced: Traced, chromium: "Chromium"
) -> None:
    first, second, collector = traced
    page = await chromium.open(NEWEST)
    provider = await page.connect(first.url)
    name = f"page-{provider.client_id}"
    await provider.run(
        """
        const config = { require_context: true, visibility: "public" };
        await server.registerService({ id: name, config, where: context => context.traceparent });
        """,
        name=name,
    )
    with PythonClient(NEWEST) as program:
        caller = await program.connect(second.url)

        parent = await (await caller["get_service"](name))["where"]()

    await asyncio.to_thread(collector.until, lambda: bool(collector.named(f"deliver {name}.where")))
    (span,) = collector.named(f"deliver {name}.where")
    assert parent.startswith(f"00-{span.trace}-{span.id}-")


async def test_a_context_that_is_none_begins_a_new_trace(traced: Traced) -> None:
    first, _, collector = traced
    given = ["", "00-short-id-01", f"00-{'g' * 32}-{'0' * 16}-01", 5, ["a"], {"a": "b"}, "x" * 999]
    async with await RawClient.connect(first.url) as client:
        client.functions["services.greet.hello"] = lambda name: f"Hello {name}"
        for parent in given:
            envelope = call_envelope(client.address, "services.greet.hello", traceparent=parent)
            assert await client.place(envelope, {"args": ["me"]}) == "Hello me"
        calls = [frame for frame in client.received if frame.method == "services.greet.hello"]
    await asyncio.to_thread(
        collector.until, lambda: len(collector.named("call greet.hello")) == len(given)
    )

    spans = collector.named("call greet.hello")
    assert {span.parent for span in spans} == {""}
    assert [call.envelope["traceparent"][3:52] for call in calls] == [
        f"{span.trace}-{span.id}" for span in spans
    ]


async def test_nothing_is_sent_or_passed_on_without_tracing(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory()
    async with await RawClient.connect(gateway.url) as client:
        client.functions["services.greet.hello"] = lambda name: f"Hello {name}"
        envelope = call_envelope(client.address, "services.greet.hello", traceparent=new_trace()[2])

        assert await client.place(envelope, {"args": ["me"]}) == "Hello me"

        assert "traceparent" not in call_of(client, "services.greet.hello").envelope


def test_tracing_without_its_packages_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hypha_cluster.web.middleware.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)

    with pytest.raises(StartupError, match=r"hypha-cluster\[tracing\]"):
        create_app(Config(tracing=True))
