"""The Python client aiocometd, in one of the forks that run today: python driver.py PACKAGE URL TRANSPORT"""

import asyncio
import importlib
import importlib.metadata
import json
import sys

package, url, transport = sys.argv[1:4]
aiocometd = importlib.import_module(package.replace("-", "_"))


def say(event, **fields):
    print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)


class Handshakes(aiocometd.Extension):
    async def incoming(self, payload, headers=None):
        for message in payload:
            if message["channel"] == "/meta/handshake":
                say("handshake", **message)

    async def outgoing(self, payload, headers):
        pass


async def attempt(kind, call):
    try:
        await call
        say(kind, successful=True)
    except Exception as error:
        say(kind, successful=False, error=repr(error))


async def listen(client):
    async for message in client:
        say("message", channel=message["channel"], data=message["data"])


async def main():
    types = {
        "websocket": aiocometd.ConnectionType.WEBSOCKET,
        "long-polling": aiocometd.ConnectionType.LONG_POLLING,
        "any": None,
    }
    # It cancels what it waits for when it closes, and is surprised.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    say("ready", version=importlib.metadata.version(package))
    client = aiocometd.Client(url, connection_types=types[transport], extensions=[Handshakes()])
    await client.open()
    asyncio.create_task(listen(client))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        command = json.loads(line)
        match command["do"]:
            case "subscribe":
                # It subscribes again by itself.
                await attempt("subscribe", client.subscribe(command["channel"]))
            case "publish":
                await attempt("publish", client.publish(command["channel"], command["data"]))
            case "disconnect":
                await attempt("disconnect", client.close())


asyncio.run(main())
