from tollway.auth.cache import ENTRIES_MAX, PositiveCache


def test_an_entry_lives_until_its_time_and_is_then_forgotten() -> None:
    cache: PositiveCache[str] = PositiveCache()
    cache.put(b"a", "A", 100)
    assert cache.get(b"a", 99) == "A"
    assert cache.get(b"a", 100) is None
    assert len(cache) == 0


def test_a_key_that_was_never_put_is_unknown() -> None:
    assert PositiveCache[str]().get(b"a", 0) is None


def test_a_full_cache_forgets_what_was_asked_for_least_recently() -> None:
    cache: PositiveCache[str] = PositiveCache(entries_max=2)
    cache.put(b"a", "A", 100)
    cache.put(b"b", "B", 100)
    assert cache.get(b"a", 0) == "A"
    cache.put(b"c", "C", 100)
    assert [cache.get(key, 0) for key in (b"a", b"b", b"c")] == ["A", None, "C"]


def test_putting_a_key_again_keeps_one_entry_and_makes_it_recent() -> None:
    cache: PositiveCache[str] = PositiveCache(entries_max=2)
    for key, value in ((b"a", "A"), (b"b", "B"), (b"a", "A2"), (b"c", "C")):
        cache.put(key, value, 100)
    assert [cache.get(key, 0) for key in (b"a", b"b", b"c")] == ["A2", None, "C"]


def test_it_never_grows_beyond_its_bound() -> None:
    cache: PositiveCache[int] = PositiveCache()
    for number in range(ENTRIES_MAX + 50):
        cache.put(number.to_bytes(4, "big"), number, 100)
    assert len(cache) == ENTRIES_MAX
