"""The rules of Idempotency-Keys, and claims in memory."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import OTHER, START_MS, WALLET, credit, fresh_id, hold, post, void
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed, Command, Held, Hold, Post, Posted, Refused
from tollway.ledger import claims
from tollway.ledger.books import Books, Key
from tollway.ledger.claims import CLAIM_MS, Claims, Shelves, place_of, shelf_of
from tollway.ledger.decision import Decision, Expire, KnownClaim
from tollway.ledger.transfer import COUNTER_NANO_MAX, REVENUE, provider_account

KEY, REQUEST = "ab" * 32, "cd" * 32


class Ledger:
    """The book with an empty memory, and a wallet with credit."""

    def __init__(self) -> None:
        self.books = Books(complete=True)
        self.tell(credit(10**9))

    def tell(self, command: Command | Expire, at_ms: int = START_MS) -> Decision:
        decision = self.books.decide(command, at_ms)
        self.books.enter(decision)
        return decision

    def lacks(self, command: Command) -> list[Key]:
        return [key for key in self.books.missing([command], START_MS) if key[0] in ("claim", "shelf")]


def keyed(id: str, key: str = KEY, request: str = REQUEST) -> Hold:
    return hold(1, id=id, claim=Claim(key=key, request=request))


def keeping(id: str, kept: Kept | None) -> Post:
    plain = post(id, 1)
    return Post(id=id, price=1, provider=plain.provider, cost=0, record=plain.record, kept=kept)


def known(place: str, id: str = "a") -> KnownClaim:
    return KnownClaim(place, id, REQUEST, START_MS)


# --- the rules


@dataclass
class Call:
    """What a model of the rules knows of the call that claimed a key last."""

    id: str
    request: str
    at_ms: int
    state: str = "pending"

    def live(self, at_ms: int) -> bool:
        return at_ms - self.at_ms < CLAIM_MS and self.state in ("pending", "answered")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hold", "other hold", "answer", "post", "void", "expire", "late answer", "a day"]),
        st.sampled_from(["x", "y"]),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_happens_a_key_is_held_by_the_newest_call_in_flight_or_answered_within_a_day(
    steps: list[tuple[str, str]],
) -> None:
    ledger, at_ms = Ledger(), START_MS
    held: dict[str, Call] = {}
    expired: dict[str, str] = {}
    for step, key in steps:
        call = held.get(key)
        if step == "a day":
            at_ms += CLAIM_MS
        elif step in ("hold", "other hold"):
            own, request = fresh_id(), REQUEST if step == "hold" else "ef" * 32
            result = ledger.tell(keyed(own, key, request), at_ms).result
            if call is not None and call.live(at_ms):
                answered = call.state == "answered"
                assert result == Claimed(id=call.id, answered=answered, same=call.request == request)
            else:
                assert isinstance(result, Held)
                held[key] = Call(own, request, at_ms)
        elif step == "late answer" and key in expired:
            decision = ledger.tell(keeping(expired.pop(key), Kept(key=key, answer=b"{}")), at_ms)
            assert isinstance(decision.result, Posted) and decision.result.late
            if call is not None and decision.claim is not None:
                assert decision.claim.id == call.id
                call.state = "answered"
        elif call is not None and call.state == "pending":
            end(ledger, step, key, call, at_ms)
            if call.state == "expired":
                expired[key] = call.id


def end(ledger: Ledger, step: str, key: str, call: Call, at_ms: int) -> None:
    kept = Kept(key=key, answer=b"{}")
    ends: dict[str, tuple[Command | Expire, str]] = {
        "answer": (keeping(call.id, kept), "answered"),
        "post": (keeping(call.id, None), "posted"),
        "void": (void(call.id), "voided"),
        "expire": (Expire(id=call.id), "expired"),
    }
    if step in ends:
        command, call.state = ends[step]
        decision = ledger.tell(command, at_ms)
        assert (decision.claim is not None) == (decision.answer is not None) == (step == "answer")


@pytest.mark.parametrize("step", ["post", "void", "expire"])
def test_a_key_whose_call_ended_without_an_answer_is_free(step: str) -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    end(ledger, step, KEY, Call(own, REQUEST, START_MS), START_MS)
    assert isinstance(ledger.tell(keyed(fresh_id())).result, Held)


def test_a_repeated_hold_is_answered_as_before_and_claims_nothing_anew() -> None:
    ledger, own = Ledger(), fresh_id()
    first = ledger.tell(keyed(own))
    again = ledger.tell(keyed(own))
    assert first.claim is not None and again.claim is None
    assert first.result == again.result


def test_a_hold_that_no_counter_can_carry_claims_nothing() -> None:
    ledger = Ledger()
    ledger.books.account(REVENUE).credits_pending = COUNTER_NANO_MAX
    decision = ledger.tell(keyed(fresh_id()))
    assert decision.result == Refused(reason="invalid_amount")
    assert decision.claim is None


def test_a_post_that_no_counter_can_carry_keeps_nothing() -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    command = Post(id=own, price=1, provider="p", cost=1, record=post(own, 1).record, kept=Kept(key=KEY, answer=b"{}"))
    ledger.books.account(provider_account("p")).credits_posted = COUNTER_NANO_MAX
    decision = ledger.tell(command)
    assert decision.result == Refused(reason="invalid_amount")
    assert (decision.claim, decision.answer) == (None, None)


@pytest.mark.parametrize("key", ["another", KEY])
def test_a_post_keeps_nothing_under_a_key_that_its_call_has_not_claimed(key: str) -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(hold(1, id=own))
    decision = ledger.tell(keeping(own, Kept(key=key, answer=b"{}")))
    assert isinstance(decision.result, Posted)
    assert (decision.claim, decision.answer) == (None, None)


def test_only_holds_and_posts_with_a_key_want_a_claim() -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    ledger.books.claims = Claims()
    kept = Kept(key=KEY, answer=b"{}")
    claim = ("claim", place_of(WALLET, KEY))
    assert ledger.lacks(keyed(fresh_id())) == [claim, ("shelf", shelf_of(WALLET, START_MS))]
    assert ledger.lacks(keeping(own, kept)) == [claim]
    assert ledger.lacks(keeping(fresh_id(), kept)) == ledger.lacks(keeping(own, None)) == ledger.lacks(hold(1)) == []


def test_a_place_tells_accounts_and_keys_apart_and_shows_neither() -> None:
    places = {place_of(account, key) for account in (WALLET, OTHER) for key in (KEY, REQUEST)}
    assert len(places) == 4
    assert all(len(place) == 32 and WALLET not in place and KEY not in place for place in places)


# --- in memory


def test_what_was_made_says_more_than_what_was_read() -> None:
    memory = Claims()
    memory.remember("p", None)
    memory.enter(known("p", "made"))
    memory.remember("p", known("p", "read"))
    assert memory.get("p") == known("p", "made")
    memory.rotate()
    memory.rotate()
    assert "p" not in memory


def test_two_rotations_drop_what_was_made() -> None:
    memory = Claims()
    memory.enter(known("p"))
    memory.rotate()
    assert memory.get("p") == known("p")
    memory.rotate()
    assert "p" not in memory


def test_that_a_store_has_no_claim_is_remembered_too() -> None:
    memory = Claims()
    assert "p" not in memory
    memory.remember("p", None)
    assert "p" in memory and memory.get("p") is None


def test_however_many_keys_are_asked_for_memory_stays_bounded() -> None:
    memory = Claims()
    for number in range(claims.READ_MAX + 1):
        memory.remember(str(number), None)
    assert "0" not in memory and str(claims.READ_MAX) in memory


# --- how much is kept, in memory


def test_what_was_added_says_more_than_what_was_read_and_begins_with_it() -> None:
    shelves = Shelves()
    shelves.remember("s", 5)
    shelves.add("s", 7)
    shelves.remember("s", 5)
    assert shelves.bytes("s") == 12
    shelves.rotate()
    shelves.add("s", 1)
    assert shelves.bytes("s") == 13


def test_two_rotations_drop_what_was_added_to() -> None:
    shelves = Shelves()
    shelves.add("s", 7)
    shelves.rotate()
    assert ("s" in shelves, shelves.bytes("s")) == (True, 7)
    shelves.rotate()
    assert ("s" in shelves, shelves.bytes("s")) == (False, 0)


def test_however_many_wallets_are_asked_for_memory_stays_bounded() -> None:
    shelves = Shelves()
    for number in range(claims.READ_MAX + 1):
        shelves.remember(str(number), 0)
    assert "0" not in shelves and str(claims.READ_MAX) in shelves


def test_only_a_post_whose_claim_is_known_and_that_keeps_an_answer_wants_to_know_how_much_is_kept() -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    keeps, keeps_none = (keeping(own, Kept(key=KEY, answer=answer, room=9)) for answer in (b"{}", None))
    shelf = ("shelf", shelf_of(WALLET, START_MS))
    assert ledger.lacks(keeps) == [shelf]
    assert ledger.lacks(keeps_none) == []
    ledger.books.claims.shelves.remember(shelf[1], 0)
    assert ledger.lacks(keeps) == []
    ledger.books.claims = Claims()
    assert ledger.lacks(keeps) == [("claim", place_of(WALLET, KEY))]


def test_an_answer_that_is_too_large_to_be_kept_takes_no_room() -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    decision = ledger.tell(keeping(own, Kept(key=KEY, answer=None, room=9)))
    assert decision.claim is not None and decision.claim.answered and decision.answer is None


@pytest.mark.parametrize(("room", "answer"), [(2, b"{}"), (1, None), (None, b"{}")])
def test_an_answer_is_kept_where_there_is_room_and_its_key_is_held_anyway(
    room: int | None, answer: bytes | None
) -> None:
    ledger, own = Ledger(), fresh_id()
    ledger.tell(keyed(own))
    decision = ledger.tell(keeping(own, Kept(key=KEY, answer=b"{}", room=room)))
    assert decision.claim is not None and decision.claim.answered
    assert decision.answer == answer
    assert ledger.books.kept_bytes(shelf_of(WALLET, START_MS)) == len(answer or b"")
