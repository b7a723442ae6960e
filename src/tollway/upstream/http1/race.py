"""Happy eyeballs (RFC 8305, 5): a host's addresses are tried one after the other, the next without waiting for the
end of the last, and the first connection wins. (uvloop's create_connection waits for each to fail: that takes minutes.)
"""

import asyncio
import socket
from collections.abc import Sequence

from tollway.upstream.http1.names import Address

NEXT_AFTER_S = 0.25  # RFC 8305, 8: the recommended Connection Attempt Delay


async def first_to_connect(addresses: Sequence[Address]) -> socket.socket:
    """A connected socket; every other that was tried is closed. Raises the OSError of the first that failed."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    trying: set[asyncio.Task[socket.socket]] = set()
    won: socket.socket | None = None
    failed: OSError | None = None
    left = list(reversed(addresses))
    try:
        while left or trying:
            if left:
                trying.add(asyncio.create_task(_connect(left.pop())))
            wait_s = NEXT_AFTER_S if left else None
            done, trying = await asyncio.wait(trying, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None and won is None:
                    won = task.result()
                elif error is None:
                    task.result().close()
                elif isinstance(error, OSError):
                    failed = failed or error
                else:
                    raise error
            if won is not None:
                return won
    finally:
        for task in trying:
            task.add_done_callback(_close)
            task.cancel()
    assert failed is not None, "there was an address"
    raise failed


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(task: "asyncio.Task[socket.socket]") -> None:
    """It connected after all, when it had lost."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
