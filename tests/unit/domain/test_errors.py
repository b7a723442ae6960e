"""The error tree: what every error a caller can be given knows of itself."""

from collections.abc import Iterator

import pytest

from tollway.domain import errors
from tollway.domain.errors import MethodNotAllowed, ProviderFault, RequestError, SignInError, TollwayError


def tree(root: type[TollwayError] = TollwayError) -> Iterator[type[TollwayError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


EVERY = tuple(tree())


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_stands_in_the_tree_that_the_module_opens_with(kind: type[TollwayError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__module__ == errors.__name__


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_has_a_status_of_http_and_a_code_of_its_own(kind: type[TollwayError]) -> None:
    assert 400 <= kind.status <= 599
    assert kind.code.replace("_", "a").isalpha()
    assert kind.code == kind.code.lower()
    namesakes = [other for other in EVERY if other.code == kind.code and other is not kind]
    assert all(issubclass(kind, other) or issubclass(other, kind) for other in namesakes)


def test_a_request_that_is_wrong_is_not_to_be_tried_again_as_it_is() -> None:
    for kind in (RequestError, SignInError):
        assert kind.should_retry is False


def test_an_error_carries_what_its_answer_needs() -> None:
    error = TollwayError("broken", param="n", retry_after_ms=5, details={"a": 1})
    assert (str(error), error.param, error.retry_after_ms, error.details) == ("broken", "n", 5, {"a": 1})
    assert (error.attempts, TollwayError("broken").details) == ((), {})
    assert MethodNotAllowed("no", allow="GET").allow == "GET"


def test_a_fault_of_a_provider_is_no_error_for_callers() -> None:
    fault = ProviderFault("rejected", "status 400: too long", status=400, reason="too long", code="c", retry_after_ms=1)
    assert not isinstance(fault, TollwayError)
    assert (str(fault), fault.reason, fault.code, fault.retry_after_ms) == (
        "rejected: status 400: too long",
        "too long",
        "c",
        1,
    )
