"""The doctor asks the Valkey that replicas share, as a start would."""

import sys
from collections.abc import Callable

import pytest

from helpers.valkey import Valkey, running_valkey
from tollway.cli.doctor.cluster import shared_counts
from tollway.config.schema import Cluster
from tollway.config.secret import Secret
from tollway.config.valkey import valkey_url


async def test_where_nothing_is_shared_nothing_is_said() -> None:
    assert await shared_counts(Cluster()) == []


async def test_a_valkey_that_answers_is_well_and_stays_as_it_is(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    (finding,) = await shared_counts(Cluster(url=server.url))
    assert (finding.state, finding.subject, finding.found) == ("ok", "cluster.url", f"{server.url} answers")
    with server.client() as client:
        assert client.keys("*") == []


@pytest.mark.parametrize(("when_lost", "says"), [("open", "pass uncounted"), ("closed", "are refused with a 503")])
async def test_one_that_is_not_there_is_a_problem_and_what_it_means_is_said(when_lost: str, says: str) -> None:
    cluster = Cluster(url=valkey_url("redis://127.0.0.1:1"), limits_when_lost=when_lost)  # type: ignore[arg-type]
    (finding,) = await shared_counts(cluster)
    assert finding.state == "problem" and finding.mend is not None
    assert "redis://127.0.0.1:1 can't be asked" in finding.found and says in finding.found


async def test_a_wrong_password_is_a_problem_and_is_not_shown() -> None:
    with running_valkey("--requirepass", "right-word") as server:
        (finding,) = await shared_counts(Cluster(url=server.url, password=Secret("wrong-word")))
    assert finding.state == "problem" and "-word" not in repr(finding)


async def test_without_the_extra_the_doctor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tollway.cluster.link", None)
    (finding,) = await shared_counts(Cluster(url=valkey_url("redis://127.0.0.1:1")))
    assert (finding.state, finding.mend) == ("problem", "pip install 'tollway[cluster]'")
