"""Claims in memory, and the rules that stores have no part in."""

from helpers.ledgers import OTHER, START_MS, WALLET, credit, fresh_id, hold, post
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Hold, Post
from tollway.ledger import claims
from tollway.ledger.books import Books
from tollway.ledger.claims import Claims, place_of
from tollway.ledger.decision import KnownClaim

KEY = "ab" * 32


def known(place: str, id: str = "a") -> KnownClaim:
    return KnownClaim(place, id, "cd" * 32, START_MS)


def test_a_place_tells_accounts_and_keys_apart_and_shows_neither() -> None:
    places = {place_of(account, key) for account in (WALLET, OTHER) for key in (KEY, "cd" * 32)}
    assert len(places) == 4
    assert all(len(place) == 32 and WALLET not in place and KEY not in place for place in places)


def test_what_was_made_says_more_than_what_was_read() -> None:
    memory = Claims()
    memory.remember("p", None)
    memory.enter(known("p", "made"))
    memory.remember("p", known("p", "read"))
    assert memory.get("p") == known("p", "made")


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


def test_only_holds_and_posts_with_a_key_want_a_claim() -> None:
    keyed: Hold = hold(1, claim=Claim(key=KEY, request="cd" * 32))
    books = Books(complete=True)
    books.enter(books.decide(credit(10), START_MS))
    books.enter(books.decide(keyed, START_MS))
    kept = Kept(key=KEY, answer=b"{}")
    wanted = place_of(WALLET, KEY)
    assert claims.place_wanted(keyed, books.chain) == wanted
    assert claims.place_wanted(keeping(keyed.id, kept), books.chain) == wanted
    assert claims.place_wanted(keeping(fresh_id(), kept), books.chain) is None
    assert claims.place_wanted(keeping(keyed.id, None), books.chain) is None
    assert claims.place_wanted(hold(1), books.chain) is None


def test_a_post_that_is_refused_keeps_nothing() -> None:
    keyed = hold(1, claim=Claim(key=KEY, request="cd" * 32))
    books = Books(complete=True)
    books.enter(books.decide(credit(10), START_MS))
    books.enter(books.decide(keyed, START_MS))
    too_much = Post(id=keyed.id, price=1, provider="p", cost=10**18, record=post(keyed.id, 1).record, kept=None)
    assert books.decide(too_much, START_MS).claim is None


def keeping(id: str, kept: Kept | None) -> Post:
    plain = post(id, 1)
    return Post(id=id, price=1, provider=plain.provider, cost=0, record=plain.record, kept=kept)
