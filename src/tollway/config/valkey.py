"""Where Valkey is: text in, a value out; pure. The password stands elsewhere, as every secret does."""

import re

import msgspec

from tollway.config.places import Address, address

_URL = re.compile(r"(rediss?|valkeys?)://(?:([^/?#@]*)@)?([^/?#@]+)(?:/([0-9]{1,5})?)?\Z", re.IGNORECASE)
_UNIX = re.compile(r"unix:(?://)?(/[!->@-~]+?)(?:\?db=([0-9]{1,5}))?\Z")
_USER = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

_EXAMPLE = 'such as "redis://valkey.internal:6379", "rediss://..." for TLS, or "unix:/run/valkey/valkey.sock"'
PORT = 6379


class ValkeyUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A host and port, or `path`, the socket of a Valkey on this machine; `db` is the number of the database."""

    host: str = ""
    port: int = PORT
    path: str | None = None
    tls: bool = False
    db: int = 0
    username: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}" + (f"?db={self.db}" if self.db else "")
        user = "" if self.username is None else f"{self.username}@"
        place = Address(self.host, self.port)
        return f"{'rediss' if self.tls else 'redis'}://{user}{place}" + (f"/{self.db}" if self.db else "")


def valkey_url(text: str) -> ValkeyUrl:
    """redis://[user@]host[:port][/db], rediss:// (TLS), or unix:/path[?db=n]; valkey(s):// means the same."""
    unix = _UNIX.match(text)
    if unix is not None:
        return ValkeyUrl(path=unix[1], db=int(unix[2] or 0))
    match = _URL.match(text)
    if match is None:
        raise ValueError(f"expected where Valkey is, {_EXAMPLE}")
    user = match[2]
    if user is not None and ":" in user:
        raise ValueError("the password must not stand in the URL: name it in cluster.password_env or password_file")
    if user is not None and not _USER.match(user):
        raise ValueError("the user of a URL here has letters, digits, dot, dash and underscore")
    place = address(match[3] if re.search(r":[0-9]+\Z", match[3]) else f"{match[3]}:{PORT}")
    return ValkeyUrl(
        host=place.host,
        port=place.port,
        tls=match[1].lower() in ("rediss", "valkeys"),
        db=int(match[4] or 0),
        username=user,
    )
