"""OpenAI's client for Node.js in the matrix: unmodified, all calls in one process (acceptance/node/matrix.mjs)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from helpers.node import FOLDER, LINE_BYTES_MAX
from helpers.require import require_node
from matrix.seen import Seen

END_S = 10


class _Asking:
    def __init__(self, client: "NodeSdk", number: int) -> None:
        self.opened = asyncio.Event()
        self.spoken = asyncio.Event()
        self.told: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._client = client
        self._number = number

    def leave(self) -> None:
        self._client.say({"id": self._number, "do": "leave"})

    async def seen(self) -> Seen:
        return await self.told


class NodeSdk:
    name = "Node"

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls: list[_Asking] = []

    def ask(self, base_url: str, key: str, tag: str, body: Mapping[str, Any], *, stream: bool, reads: int) -> _Asking:
        number = len(self._calls)
        self._calls.append(_Asking(self, number))
        fields = {**body, "stream": stream}
        self.say({"id": number, "do": "ask", "baseURL": base_url, "key": key, "body": fields, "reads": reads})
        return self._calls[number]

    def say(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def listen(self) -> None:
        """Take note of what the process says, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            call = self._calls[said["id"]]
            if "opened" in said or "seen" in said:
                call.opened.set()
            if "spoken" in said or "seen" in said:
                call.spoken.set()
            if "seen" in said:
                call.told.set_result(Seen.told(said["seen"]))
        for call in self._calls:
            if not call.told.done():
                call.told.set_exception(AssertionError("node ended before its call; it said why on stderr"))


@contextlib.asynccontextmanager
async def node_sdk() -> AsyncIterator[NodeSdk]:
    """Skips the test, or fails it, where Node.js is missing (helpers/require.py)."""
    process = await asyncio.create_subprocess_exec(
        require_node(),
        FOLDER / "matrix.mjs",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    client = NodeSdk(process)
    listening = asyncio.ensure_future(client.listen())
    try:
        yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening
