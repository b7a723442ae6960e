"""What goes wrong on the caller's side. Apart from the client, so that naming an error doesn't load an HTTP library."""

from typing import Any


class WalletError(Exception):
    """A wallet can't be made, read or written; the message says what to do. Never holds key material."""


class RouterError(Exception):
    """The router said no. `code` is its stable code, `error` the whole error object."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", f"the router answered {status}")))
        self.status = status
        self.code = error.get("code")
        self.error = error


class ReceiptError(Exception):
    """A receipt doesn't hold, or isn't one; the message says which."""


class RouterUnreachable(Exception):
    """Nothing answered at that address, or not in time."""
