"""OpenAI's client for Python, unmodified, both ways it comes: blocking (in a thread) and asynchronous."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

WAYS = ("sync", "async")


class Official(Protocol):
    async def complete(self, **body: Any) -> ChatCompletion: ...

    async def stream(self, **body: Any) -> list[ChatCompletionChunk]:
        """Every chunk, up to the end that the client sees."""

    async def models(self) -> list[Any]: ...

    async def model(self, id: str) -> Any: ...

    async def raw(self, **body: Any) -> Any:
        """The response before it is parsed, with its headers."""


class Blocking:
    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client

    async def complete(self, **body: Any) -> ChatCompletion:
        return await asyncio.to_thread(self._client.chat.completions.create, **body)

    async def stream(self, **body: Any) -> list[ChatCompletionChunk]:
        def read() -> list[ChatCompletionChunk]:
            with self._client.chat.completions.create(**body, stream=True) as chunks:
                return list(chunks)

        return await asyncio.to_thread(read)

    async def models(self) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self._client.models.list()))

    async def model(self, id: str) -> Any:
        return await asyncio.to_thread(self._client.models.retrieve, id)

    async def raw(self, **body: Any) -> Any:
        return await asyncio.to_thread(self._client.chat.completions.with_raw_response.create, **body)


class Asynchronous:
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def complete(self, **body: Any) -> ChatCompletion:
        answer: ChatCompletion = await self._client.chat.completions.create(**body)
        return answer

    async def stream(self, **body: Any) -> list[ChatCompletionChunk]:
        async with await self._client.chat.completions.create(**body, stream=True) as chunks:
            return [chunk async for chunk in chunks]

    async def models(self) -> list[Any]:
        return [model async for model in self._client.models.list()]

    async def model(self, id: str) -> Any:
        return await self._client.models.retrieve(id)

    async def raw(self, **body: Any) -> Any:
        return await self._client.chat.completions.with_raw_response.create(**body)


@contextlib.asynccontextmanager
async def official(way: str, base_url: str, **options: Any) -> AsyncIterator[Official]:
    """A client of either kind with the options that openai.OpenAI takes."""
    if way == "sync":
        client = openai.OpenAI(base_url=base_url, **options)
        try:
            yield Blocking(client)
        finally:
            client.close()
    else:
        async with openai.AsyncOpenAI(base_url=base_url, **options) as asynchronous:
            yield Asynchronous(asynchronous)


def text(chunks: list[ChatCompletionChunk], choice: int = 0) -> str:
    entries = [entry for chunk in chunks for entry in chunk.choices if entry.index == choice]
    return "".join(entry.delta.content or "" for entry in entries)
