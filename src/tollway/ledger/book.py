"""The rules of the books: what a command may do, and which counters it moves. Pure: values in, values out.

Knows nothing of files, tasks or time: a store hands in what is known (a `View`) and enters what comes back.

Theory of operation
-------------------
Double entry. A transfer moves an amount from one account's debit side to another's credit side, so the sum over all
accounts is zero at any time, for what is pending and for what is posted. An account is four counters; a wallet's
free balance is `credits_posted - debits_posted - debits_pending`. The accounts:

    <wallet>          what a caller may spend (stored id, such as eip155:0xab...)
    provider:<id>     what we owe a provider
    router:revenue    what we keep; pending holds stand here too, on the credit side
    router:loss       what the operator bore: cost that no wallet paid
    source:<name>     where money came from ("operator", "welcome")
    key:<id>[:<period>]  what a delegated key has spent and holds, in its life or in one of its periods. No money is in
                      it: a leg moves both of its sides alike, so that it counts and every sum stays what it is

Every transfer carries the id of the command that made it. The transfers that share an id are its chain, oldest first,
and the last of them is its state. Down: the state; across: what is asked of it. `=` repeats the answer given before,
when the content is the same as before, and is refused with id_reused when it is not:

                credit      hold        post             void            expire           reverse
    absent      credited    pending     unknown_hold     unknown_hold    unknown_hold     unknown_transfer
    credited    =           id_reused   unknown_hold     unknown_hold    unknown_hold     returned
    pending     id_reused   =           posted           voided          expired          not_reversible
    posted      id_reused   =           =                already_posted  already_posted   reversed
    voided      id_reused   =           already_voided   =               already_voided   not_reversible
    expired     id_reused   =           posted (late)    hold_expired    =                not_reversible
    returned    =           id_reused   unknown_hold     unknown_hold    unknown_hold     =
    reversed    id_reused   =           =                already_posted  already_posted   =

An error is mended by a reversal, never by changing an entry (reversals.py). A payment to a provider has an id of its
own, which nothing else may have, and comes from a source (payouts.py).

What counts as content is the money: account, bounds, `unlimited` and key of a hold; price, provider, cost and
`over_max` of a post; account, amount, source and ref of a credit. Labels and the call's record ride along; the first
ones stay.

A hold may claim an Idempotency-Key of its account, and its post keep the answer, each in its own commit (claims.py).

Warts: a hold of 0 is allowed, for a model whose written price is 0. A late post finds its hold given back, so all of it
comes from the free balance; what isn't there any more is the operator's loss. Only holds granted `unlimited` may take
a wallet below zero.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tollway.domain.commands import (
    Burned,
    BurnNonce,
    CreateKey,
    Credit,
    EndKey,
    FrozenSet,
    Hold,
    NoteDelivery,
    NoteRecount,
    Pay,
    Post,
    ProviderSet,
    Refused,
    Reverse,
    Revoke,
    Revoked,
    SetFrozen,
    SetProvider,
    Void,
)
from tollway.ledger.credits import credit
from tollway.ledger.decision import NOTED, UNKNOWN, Decision, DeliveryNote, Expire, RecountNote, View, post_of, state_of
from tollway.ledger.holds import give_back, post, reserve
from tollway.ledger.keys import create, end
from tollway.ledger.payouts import pay
from tollway.ledger.reversals import reverse
from tollway.ledger.transfer import Transfer, is_wallet, provider_of


def _note_delivery(command: NoteDelivery, view: View, _seq: int, _at_ms: int) -> Decision:
    posted = _posted(view.chain(command.id))
    if posted is None:
        return Decision(UNKNOWN)
    return Decision(NOTED, note=DeliveryNote(posted.seq, posted.account, command.id, command.delivery))


def _note_recount(command: NoteRecount, view: View, _seq: int, _at_ms: int) -> Decision:
    posted = _posted(view.chain(command.id))
    if posted is None:
        return Decision(UNKNOWN)
    provider = provider_of(posted.counterparty)
    note = RecountNote(posted.seq, posted.account, command.id, provider, posted.model, command.recount)
    return Decision(NOTED, note=note)


def _posted(chain: tuple[Transfer, ...]) -> Transfer | None:
    if chain and chain[-1].kind == "post":
        return chain[-1]  # as most are
    return post_of(chain) if state_of(chain) == "reversed" else None


def _burn(command: BurnNonce, view: View, _seq: int, _at_ms: int) -> Decision:
    if command.expires_ms <= view.forgotten_ms or view.nonce_used(command.account, command.nonce):
        return Decision(Refused(reason="nonce_used"))
    return Decision(Burned(), note=command)


def _revoke(command: Revoke, _view: View, _seq: int, _at_ms: int) -> Decision:
    return Decision(Revoked(), note=command)


def _set_provider(command: SetProvider, _view: View, _seq: int, _at_ms: int) -> Decision:
    return Decision(ProviderSet(), note=command)


def _set_frozen(command: SetFrozen, _view: View, _seq: int, _at_ms: int) -> Decision:
    if not is_wallet(command.account):
        return Decision(Refused(reason="unknown_account"))
    return Decision(FrozenSet(), note=command)


# What a command does to the books that are seen: each rule is also given the place and the time that its transfer will
# carry, if it makes one. By the command's own type: to ask of one struct type after another costs 0.1 us each.
RULES: Mapping[type, Callable[[Any, View, int, int], Decision]] = MappingProxyType(
    {
        Hold: reserve,
        Post: post,
        Void: give_back,
        Expire: give_back,
        Credit: credit,
        Reverse: reverse,
        Pay: pay,
        NoteDelivery: _note_delivery,
        NoteRecount: _note_recount,
        BurnNonce: _burn,
        Revoke: _revoke,
        CreateKey: create,
        EndKey: end,
        SetProvider: _set_provider,
        SetFrozen: _set_frozen,
    }
)
