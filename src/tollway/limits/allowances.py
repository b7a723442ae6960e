"""What the configuration allows: each wallet, each provider, each address. Values only."""

import msgspec

from tollway.domain.limit import Rate


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What one wallet, or one provider, may use; an empty tuple and None limit nothing."""

    requests: tuple[Rate, ...] = ()
    tokens: tuple[Rate, ...] = ()
    concurrency: int | None = None


class Allowances(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use how much. `wallet` is for whom `accounts` doesn't name; `arriving`, `nonces` and `failed_sign_ins`
    are of one address, `reads` is how many reads of one wallet may be under way."""

    wallet: Allowance = Allowance()
    accounts: dict[str, Allowance] = {}
    reads: int = 8
    arriving: int = 200
    nonces: tuple[Rate, ...] = ()
    failed_sign_ins: tuple[Rate, ...] = ()

    def of(self, account: str) -> Allowance:
        return self.accounts.get(account, self.wallet) if self.accounts else self.wallet
