"""Where traces go: to an OTLP receiver, as the standard OTEL_… variables say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from hypha_cluster import __version__


@contextlib.asynccontextmanager
async def open_tracer(node: str) -> AsyncIterator[Tracer]:
    """Yield a tracer; at the end, send the spans that it still has."""
    ours = {
        "service.name": "hypha-cluster",
        "service.version": __version__,
        "service.instance.id": node,
    }
    provider = TracerProvider(resource=Resource(ours).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer("hypha_cluster", __version__)
    finally:
        await asyncio.to_thread(provider.shutdown)
