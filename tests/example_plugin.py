"""A plugin as the original's users write them; `run` and the published runner run it."""

from typing import Any

from imjoy_rpc import api


class Plugin:
    """Calls the hub, and a service of its own, before it is ready."""

    async def setup(self) -> None:
        assert await api.echo("as it was said") == "as it was said"
        own = await api.register_service(
            {"id": "test-service", "name": "echo service", "type": "echo", "echo": lambda x: x},
            overwrite=True,
        )
        service = await api.get_service(own["id"])
        assert await service.echo("a message") == "a message"
        await api.log("set up")

    async def run(self, context: Any) -> None:
        await api.log("hello")


api.export(Plugin(), config={"name": "test-plugin"})
