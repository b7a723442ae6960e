"""What a conversation keeps, asks again and counts; and how a message of several lines is read."""

from collections.abc import Callable

import pytest

from tollway.cli.chat_terminal import MESSAGE_CHARS_MAX, read_message
from tollway.cli.common import CommandFailed
from tollway.cli.conversation import Asking, Conversation, Reply


def reply(text: str, cost: str = "0.01") -> Reply:
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "cost": cost}
    return Reply(request_id="id", text=text, usage=usage, tollway={"provider": "a", "balance_usd": "1.00"})


def contents(talk: Conversation) -> list[str]:
    return [turn["content"] for turn in talk.turns]


def lines(*given: str) -> Callable[[str], str]:
    """Somebody who types these, then Ctrl-D."""
    left = iter(given)

    def read(_: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return read


def test_an_answered_turn_is_kept_and_counted_exactly() -> None:
    talk = Conversation(Asking(model="m", system="s", temperature=0.5))
    talk.answered("one", reply("1", "0.1"))
    talk.answered("two", reply("2", "0.2"))
    assert (talk.spent_usd, talk.answers, talk.tokens) == ("0.30", 2, 10)
    body = talk.body("three")
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert (body["model"], body["temperature"]) == ("m", 0.5)
    assert "max_tokens" not in body


def test_a_failed_turn_is_set_aside_and_asked_again() -> None:
    talk = Conversation(Asking(model="m"))
    talk.broke("one", Reply(request_id="id", text="half"))
    assert (contents(talk), talk.again(), talk.uncounted) == ([], "one", ["id"])
    talk.answered("one", reply("1"))
    assert contents(talk) == ["one", "1"]


def test_a_stopped_answer_is_kept_as_far_as_it_came() -> None:
    talk = Conversation(Asking(model="m"))
    talk.stopped("one", Reply(request_id="id", text="half"))
    assert (contents(talk), talk.uncounted) == (["one", "half"], ["id"])
    talk.stopped("two", Reply())
    assert (contents(talk), talk.again()) == (["one", "half"], "two")


def test_asking_again_replaces_an_answer_only_by_another() -> None:
    talk = Conversation(Asking(model="m"))
    talk.answered("one", reply("first"))
    assert talk.again() == "one"
    assert [message["content"] for message in talk.body("one")["messages"]] == ["one"]
    talk.broke("one", Reply())
    assert contents(talk) == ["one", "first"]
    assert talk.again() == "one"
    talk.answered("one", reply("second"))
    assert contents(talk) == ["one", "second"]


def test_nothing_to_ask_again_and_nothing_left_after_a_clear() -> None:
    talk = Conversation(Asking(model="m"))
    assert talk.again() is None
    talk.answered("one", reply("1"))
    talk.clear()
    assert (contents(talk), talk.again(), talk.spent_usd) == ([], None, "0.01")


def test_the_line_after_an_answer_names_who_failed_before() -> None:
    served = reply("1")
    served.tollway["attempts"] = [{"provider": "b", "outcome": "timeout"}, {"provider": "a", "outcome": "success"}]
    assert served.cost_line() == "2 + 3 tokens, 0.01 USD, by a after b (timeout); 1.00 USD left"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["hello"], "hello"),
        (["one \\", "two"], "one \ntwo"),
        (['"""', "one", "two", '"""'], "one\ntwo"),
        (['"""one"""'], "one"),
        (['"""one', 'two"""'], "one\ntwo"),
        (['"""', "given up"], None),
        (["given up \\"], None),
    ],
)
def test_a_message_of_several_lines(typed: list[str], message: str | None) -> None:
    assert read_message(lines(*typed)) == message


def test_the_end_of_the_input_is_no_message() -> None:
    with pytest.raises(EOFError):
        read_message(lines())


def test_a_message_that_never_ends_is_refused() -> None:
    with pytest.raises(CommandFailed, match="at most"):
        read_message(lines('"""', "x" * MESSAGE_CHARS_MAX))
