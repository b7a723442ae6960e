"""The doctor looks at books on PostgreSQL as a start would."""

from collections.abc import Callable

from helpers.postgres import Server
from tollway.cli.doctor.ledger import ledger
from tollway.config.places import LedgerUrl
from tollway.config.secret import Secret


def test_a_database_that_answers_is_well(postgres: Callable[[], Server]) -> None:
    with postgres().database() as url:
        (finding,) = ledger(url)
    assert (finding.state, finding.subject) == ("ok", "PostgreSQL")


def test_a_database_that_does_not_answer_is_a_problem_and_its_password_is_not_shown() -> None:
    url = LedgerUrl(store="postgresql", conninfo="postgresql://u@127.0.0.1:1/books", password=Secret("hidden"))
    (finding,) = ledger(url)
    assert finding.state == "problem"
    assert finding.mend is not None and finding.mend.startswith("check that PostgreSQL runs, ledger.url")
    assert "can't be used" in finding.found and "hidden" not in repr(finding)
