"""OpenAI's client for Python in the matrix: asynchronous, unmodified, with as many retries as it makes by itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import openai

from matrix.seen import Seen

TAG = "x-matrix-cell"  # tells the answers of one call from those of others on the same pool
DONE = b"data: [DONE]\n\n"


class _Watched(httpx2.AsyncByteStream):
    """A body on its way to the SDK, and its last bytes."""

    def __init__(self, body: Any, seen: Seen) -> None:
        self._body = body
        self._seen = seen

    def __aiter__(self) -> AsyncIterator[bytes]:
        # No generator: one that is left in the middle, when its caller leaves, is closed by whoever collects garbage.
        self._parts = aiter(self._body)
        self._tail = b""
        return self

    async def __anext__(self) -> bytes:
        data: bytes = await anext(self._parts)
        self._tail = (self._tail + data)[-len(DONE) :]
        self._seen.ended_by_done = self._tail == DONE
        return data

    async def aclose(self) -> None:
        await self._body.aclose()


class _Asking:
    def __init__(self, client: openai.AsyncOpenAI, seen: Seen, body: Mapping[str, Any], stream: bool, reads: int):
        self.opened = asyncio.Event()
        self.spoken = asyncio.Event()
        self._seen = seen
        self._reads = reads
        self._client = client
        self._body = body
        self._left = False
        self._task = asyncio.ensure_future(self._stream() if stream else self._batch())
        self._task.add_done_callback(self._over)

    def leave(self) -> None:
        self._left = True
        self._task.cancel()

    async def seen(self) -> Seen:
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._left:
                raise
            self._seen.left = True
        except openai.APIError as error:
            self._seen.error = error.code or str(error)
            self._seen.raised = type(error).__name__
            self._seen.status = error.status_code if isinstance(error, openai.APIStatusError) else None
        return self._seen

    def _over(self, _: asyncio.Task[None]) -> None:
        """What hasn't come doesn't come any more."""
        self.opened.set()
        self.spoken.set()

    async def _batch(self) -> None:
        answer = await self._client.chat.completions.create(**self._body)
        for choice in answer.choices:
            self._seen.take(choice.index, choice.message.model_dump(), choice.finish_reason)

    async def _stream(self) -> None:
        async with await self._client.chat.completions.create(**self._body, stream=True) as chunks:
            self.opened.set()
            tokens = 0
            async for chunk in chunks:
                for choice in chunk.choices:
                    tokens += self._seen.take(choice.index, choice.delta.model_dump(), choice.finish_reason)
                if tokens:
                    self.spoken.set()
                if self._reads and tokens >= self._reads:
                    self._seen.left = True
                    return


class PythonSdk:
    name = "Python"

    def __init__(self, client: openai.AsyncOpenAI, calls: dict[str, Seen]) -> None:
        self._client = client
        self._calls = calls

    def ask(self, base_url: str, key: str, tag: str, body: Mapping[str, Any], *, stream: bool, reads: int) -> _Asking:
        seen = self._calls[tag] = Seen()
        client = self._client.with_options(base_url=base_url, api_key=key, default_headers={TAG: tag})
        fields = dict(body)
        fields["extra_body"] = {"provider": fields.pop("provider")}
        return _Asking(client, seen, fields, stream, reads)


@contextlib.asynccontextmanager
async def python_sdk() -> AsyncIterator[PythonSdk]:
    calls: dict[str, Seen] = {}

    async def note(response: Any) -> None:
        seen = calls[response.request.headers[TAG]]
        seen.statuses.append(response.status_code)
        response.stream = _Watched(response.stream, seen)

    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [note]})
    async with openai.AsyncOpenAI(base_url="http://unused", api_key="unused", http_client=http) as client:
        yield PythonSdk(client, calls)
