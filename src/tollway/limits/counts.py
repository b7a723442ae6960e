"""What a process has counted, whatever the configuration says of it at the moment: made once, kept over a reload."""

from tollway.domain.observer import Observer
from tollway.domain.seams import LimitStore
from tollway.limits.limiter import Limiter, WhenLost


class Counts:
    """`store` counts wallets and providers, `addresses` what is not signed in yet: in a store of its own, so that no
    flood of addresses makes it forget a wallet."""

    def __init__(
        self, store: LimitStore, addresses: LimitStore, observer: Observer, when_lost: WhenLost = "closed"
    ) -> None:
        self.limiter = Limiter(store, "wallet", observer, when_lost)
        self.providers = Limiter(store, "provider", observer, when_lost)
        self.addresses = Limiter(addresses, "address", observer, when_lost)
        self.observer = observer
        # Of this process alone: its memory, and its one reader of the books.
        self.arriving: dict[str, int] = {}  # calls still on their way, by address
        self.reading: dict[str, int] = {}  # reads under way, by account
