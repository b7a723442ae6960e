"""Official clients for Node.js, unmodified: installed once from their lock file, run as tests/acceptance/node says."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from helpers.require import lacks, require_node

FOLDER = Path(__file__).parents[1] / "acceptance" / "node"
INSTALL_S = 300
ANSWER_S = 60
LINE_BYTES_MAX = 1 << 22


def install(folder: Path = FOLDER) -> None:
    """`npm ci`, unless what is installed is what the lock file says. Without a registry the test is skipped."""
    require_node()
    if _installed(folder) == _hashes(folder / "package-lock.json"):
        return
    ran = subprocess.run(
        ["npm", "ci", "--prefer-offline", "--no-progress"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if line.startswith("npm error")]
        lacks(
            "node", f"needs the packages of {folder.name}/package-lock.json, and npm ci failed: {'; '.join(said[:2])}"
        )


def _installed(folder: Path) -> dict[str, str] | None:
    try:
        return _hashes(folder / "node_modules" / ".package-lock.json")
    except FileNotFoundError:
        return None


def _hashes(file: Path) -> dict[str, str]:
    packages = json.loads(file.read_text(encoding="utf-8"))["packages"]
    return {name: package["integrity"] for name, package in packages.items() if name}


class NodeClient:
    """One client in one process, asked one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self.statuses: list[int] = []  # of the HTTP answers that the last thing took

    async def tell(self, action: str, body: Any = None) -> None:
        self._stdin.write(json.dumps({"do": action, "body": body}).encode() + b"\n")
        await self._stdin.drain()

    async def line(self) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_S):
            line = await self._stdout.readline()
        assert line, "node ended; what it said is in the captured stderr"
        said: dict[str, Any] = json.loads(line)
        self.statuses = said.get("statuses", self.statuses)
        return said

    async def ask(self, action: str, body: Any = None) -> Any:
        """The value of an action that succeeds."""
        await self.tell(action, body)
        said = await self.line()
        assert "value" in said, said
        return said["value"]

    async def stream(self, body: Any, action: str = "stream") -> tuple[list[Any], dict[str, Any]]:
        """The chunks that came, and the line after them."""
        await self.tell(action, body)
        chunks: list[Any] = []
        while "chunk" in (said := await self.line()):
            chunks.append(said["chunk"])
        return chunks, said

    async def error(self, action: str, body: Any = None) -> dict[str, Any]:
        """What is thrown by an action that fails before any chunk."""
        await self.tell(action, body)
        said = await self.line()
        assert "error" in said, said
        error: dict[str, Any] = said["error"]
        return error


@contextlib.asynccontextmanager
async def node_client(base_url: str, script: str = "client.mjs", **options: Any) -> AsyncIterator[NodeClient]:
    """The client of `script`, made with `{baseURL, ...options}`, in a process of its own as long as the block runs."""
    given = json.dumps({"baseURL": base_url, **options})
    process = await asyncio.create_subprocess_exec(
        require_node(),
        FOLDER / script,
        given,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    client = NodeClient(process)
    try:
        yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(ANSWER_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
