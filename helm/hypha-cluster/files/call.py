"""Two clients that meet in a hub: one offers a function, the other calls it, again and again.

Each connects anew for each call, so that they come to different gateways.
"""

import asyncio
import secrets
import ssl
import sys
from contextlib import asynccontextmanager

import msgpack
from websockets.asyncio.client import connect

ROUNDS = 5
PATIENCE = 20.0

# The certificate names the hub as users see it, not the Service.
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


class Client:
    """A client as imjoy-rpc's: it sends and takes frames of two msgpack objects."""

    def __init__(self, client_id, socket):
        self.id = client_id
        self.socket = socket
        self.workspace = ""

    async def ask(self, function, *args):
        """Call a function of the hub."""
        session = await self.place("workspace-manager", f"services.default.{function}", *args)
        return await self.answer(session)

    async def place(self, target, method, *args):
        session = secrets.token_hex(8)
        promise = {verb: self.reference(f"{session}.{verb}") for verb in ("resolve", "reject")}
        await self.send(target, method, {"args": args, "promise": promise}, session=session)
        return session

    async def answer(self, session):
        method, body = await self.take(session)
        if method.endswith(".reject"):
            raise RuntimeError(body["args"][0]["_rvalue"])
        return body["args"][0]

    def reference(self, method):
        return {"_rtype": "method", "_rtarget": self.id, "_rmethod": method, "_rpromise": False}

    async def send(self, target, method, body, **fields):
        envelope = {"type": "method", "to": target, "method": method, **fields}
        await self.socket.send(msgpack.packb(envelope) + msgpack.packb(body))

    async def take(self, method):
        """Wait for a call of this method, or of what is below it; return its name and its body."""
        while True:
            unpacker = msgpack.Unpacker()
            async with asyncio.timeout(PATIENCE):
                unpacker.feed(await self.socket.recv())
            envelope, *bodies = unpacker
            if envelope.get("method", "").startswith(method):
                return envelope["method"], bodies[0]


@asynccontextmanager
async def attached(hub):
    """Attach a new client to a hub."""
    client_id = secrets.token_hex(8)
    url = f"{hub.replace('http', 'ws', 1)}/ws?client_id={client_id}"
    certificate = ANY_CERTIFICATE if hub.startswith("https") else None
    async with connect(url, ssl=certificate, open_timeout=PATIENCE) as socket:
        client = Client(client_id, socket)
        client.workspace = (await client.ask("get_connection_info"))["workspace"]
        yield client


async def say_hello(worker, caller):
    """Have one client offer a function, and the other call it."""
    config = {"visibility": "public", "require_context": False}
    service = {"id": f"{worker.id}:hello", "config": config}
    await worker.ask("update_client_info", {"id": worker.id, "services": [service]})

    session = await caller.place(f"{worker.workspace}/{worker.id}", "services.hello.hello", "John")
    _, call = await worker.take("services.hello.hello")
    resolve = call["promise"]["resolve"]["_rmethod"]
    await worker.send(
        f"{caller.workspace}/{caller.id}", resolve, {"args": [f"Hello {call['args'][0]}"]}
    )
    return await caller.answer(session)


async def main(hub):
    for _ in range(ROUNDS):
        async with attached(hub) as worker, attached(hub) as caller:
            answer = await say_hello(worker, caller)
        if answer != "Hello John":
            sys.exit(f"the answer was {answer!r}")
    sys.stdout.write(f"{ROUNDS} calls through {hub} were answered\n")


asyncio.run(main(sys.argv[1]))
