"""A real Chromium, without a window, told what to do over its debugging pipe: no driver and no package is needed.

async with browser() as page:
    await page.open("http://127.0.0.1:8000/page.html")
    await page.until("document.title === 'ready'")
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from helpers.require import require_chromium

ANSWER_S = 60
CLOSE_S = 20
MESSAGE_BYTES_MAX = 1 << 26  # a screenshot

Bound = Callable[[Any], Awaitable[Any]]


class Page:
    """The one page of one browser. What its scripts throw, or write as an error, is kept in `complaints`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.complaints: list[str] = []
        self._reader = reader
        self._writer = writer
        self._session: str | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._bound: dict[str, Bound] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._listening = asyncio.ensure_future(self._listen())

    async def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(ANSWER_S):
            answer = await waiting
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    async def begin(self) -> None:
        target = await self.tell("Target.createTarget", url="about:blank")
        attached = await self.tell("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.tell(f"{domain}.enable")

    async def bind(self, name: str, call: Bound) -> None:
        """Give pages from now on a global function that returns a promise of what `call` comes to (JSON both ways)."""
        self._bound[name] = call
        await self.tell("Runtime.addBinding", name=f"{name}_")
        await self.before(
            f"{{ const waiting = []; window.{name} = (asked) => new Promise((take, refuse) => {{"
            f"  waiting.push([take, refuse]);"
            f"  {name}_(JSON.stringify({{ number: waiting.length - 1, asked }})); }});"
            f"  window.{name}.answered = (number, value) => waiting[number][0](value);"
            f"  window.{name}.failed = (number, why) => waiting[number][1](new Error(why)); }}"
        )

    async def before(self, script: str) -> None:
        """Run a script in every page from now on, before its own."""
        await self.tell("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def open(self, url: str) -> None:
        self._loaded.clear()
        await self.tell("Page.navigate", url=url)
        async with asyncio.timeout(ANSWER_S):
            await self._loaded.wait()

    async def value(self, expression: str) -> Any:
        """What an expression, or the promise that it is, comes to in the page."""
        found = await self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for something that a change of the page makes true."""
        await self.value(
            f"new Promise((done) => {{ const look = () => ({condition}) && (seen.disconnect(), done(true));"
            f"  const seen = new MutationObserver(look);"
            f"  seen.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});"
            f"  look(); }})"
        )

    async def text(self, selector: str) -> str:
        said: str = await self.value(f"document.querySelector({json.dumps(selector)}).textContent")
        return said

    async def write(self, selector: str, text: str) -> None:
        await self.value(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")

    async def click(self, selector: str) -> None:
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def screenshot(self, file: Path) -> None:
        shot = await self.tell("Page.captureScreenshot", format="png")
        await asyncio.to_thread(file.write_bytes, base64.b64decode(shot["data"]))

    async def end(self) -> None:
        self._session = None
        with contextlib.suppress(OSError, TimeoutError):
            await self.tell("Browser.close")
        self._listening.cancel()
        self._writer.close()

    async def _listen(self) -> None:
        while True:
            message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if message.get("id") in self._waiting:
                self._waiting.pop(message["id"]).set_result(message)
                continue
            params = message.get("params", {})
            match message.get("method"):
                case "Page.loadEventFired":
                    self._loaded.set()
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(params["exceptionDetails"]))
                case "Log.entryAdded" if params["entry"]["level"] == "error":
                    self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
                case "Runtime.bindingCalled":
                    work = asyncio.ensure_future(self._answer(params["name"].removesuffix("_"), params["payload"]))
                    self._at_work.add(work)
                    work.add_done_callback(self._at_work.discard)

    async def _answer(self, name: str, payload: str) -> None:
        told = json.loads(payload)
        try:
            how, value = "answered", await self._bound[name](told["asked"])
        except Exception as error:
            how, value = "failed", str(error)
        await self.tell("Runtime.evaluate", expression=f"{name}.{how}({told['number']}, {json.dumps(value)})")


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A browser with a profile of its own, which is gone with it."""
    chromium = require_chromium()
    to_read, to_us = os.pipe()
    from_us, to_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--window-size=900,900",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        process = await asyncio.create_subprocess_exec(
            "bash",  # others read descriptors of one digit alone
            "-c",
            f'exec "$@" 3<&{from_us} 4>&{to_us}',
            "bash",
            chromium,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(from_us, to_us),
        )
        os.close(from_us)
        os.close(to_us)
        page = Page(await _reader(to_read), await _writer(to_write))
        try:
            await page.begin()
            yield page
        finally:
            await page.end()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MESSAGE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)
