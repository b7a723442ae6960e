"""How an input says where it is cut into reads: its first byte how often, two more for each cut where."""

from collections.abc import Iterator

CUTS_MAX = 8


def uncut(stream: bytes) -> bytes:
    """The input that is `stream` in one read."""
    return b"\0" + stream


def split(data: bytes) -> tuple[bytes, list[bytes]]:
    """The bytes that an input stands for, and the same as it cuts them."""
    count = data[0] % CUTS_MAX if data else 0
    stream = data[1 + 2 * count :]
    at = sorted(int.from_bytes(data[1 + 2 * i : 3 + 2 * i]) % (len(stream) + 1) for i in range(count))
    return stream, [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


def bytewise(stream: bytes) -> Iterator[bytes]:
    return (stream[at : at + 1] for at in range(len(stream)))
