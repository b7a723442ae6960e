"""What a running router can't take from a new configuration, and what it takes instead."""

from pathlib import Path

from tollway.config.load import loads
from tollway.config.restart import kept
from tollway.config.schema import Config

BODY = """
[[providers]]
id = "p"
base_url = "http://127.0.0.1:9/v1"
[[providers.models]]
id = "p/m"
context_length = 1000
price = { input = "1", output = "2" }
"""


def config(text: str = "") -> Config:
    return loads(text + BODY, {}, Path("/somewhere"))


def test_what_needs_no_restart_is_taken_whole() -> None:
    wanted = config('[server]\nmax_body = "1MB"\n[auth]\nclock_skew = "1s"\n[billing]\nmarkup = "3%"\n')
    assert kept(config(), wanted) == (wanted, ())


def test_the_listeners_and_the_books_stay_until_a_restart_and_the_keys_are_named() -> None:
    running = config()
    wanted = config(
        '[server]\nlisten = "127.0.0.1:9999"\nmax_body = "1MB"\n[ops]\nlisten = "127.0.0.1:9998"\n'
        '[ledger]\nurl = "sqlite:///other.db"\n'
    )
    served, waiting = kept(running, wanted)
    assert waiting == ("server.listen", "ops.listen", "ledger.url")
    assert (served.server.listen, served.ops, served.ledger) == (running.server.listen, running.ops, running.ledger)
    assert served.server.max_body == 1_000_000


def test_how_much_is_kept_of_answers_needs_no_restart() -> None:
    served, waiting = kept(config(), config('[ledger]\nkeep_answers = "1MB"\n'))
    assert (served.ledger.keep_answers, waiting) == (1_000_000, ())


def test_what_replicas_share_stays_until_a_restart() -> None:
    running = config('[cluster]\nurl = "redis://a"\n')
    served, waiting = kept(running, config('[cluster]\nurl = "redis://b"\nlimits_when_lost = "closed"\n'))
    assert (served.cluster, waiting) == (running.cluster, ("cluster",))


def test_a_sign_in_domain_that_follows_the_address_stays_with_it() -> None:
    running = config()
    served, _ = kept(running, config('[server]\nlisten = "127.0.0.1:9999"\n'))
    assert served.auth.domains == running.auth.domains == ("127.0.0.1:8080",)
    assert served.server.public_url == running.server.public_url


def test_a_domain_that_is_written_is_taken_whatever_the_address_is() -> None:
    listen = '[server]\nlisten = "127.0.0.1:9999"\n'
    served, _ = kept(config(), config(f'{listen}[auth]\ndomains = ["a.example"]\n'))
    assert served.auth.domains == ("a.example",)
    served, _ = kept(config(), config(f'{listen}public_url = "https://b.example"\n'))
    assert (served.server.public_url, served.auth.domains) == ("https://b.example", ("b.example",))
