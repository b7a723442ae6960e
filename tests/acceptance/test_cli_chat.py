"""`tollway chat` without a message: a conversation in a real terminal, and what stands in for one in a pipe."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import ENVIRONMENT, TIMEOUT_S, TOLLWAY, complaint, here, printed, router, simulator
from helpers.terminal import Terminal
from tollway.simulator import expected_text

pytestmark = pytest.mark.acceptance

COST = r"\d+ \+ (\d+) tokens, ([\d.]+) USD, by sim; ([\d.]+) USD left\n> "


class Place:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {"TOLLWAY_URL": url, "TOLLWAY_WALLET": "wallet", "TOLLWAY_MODEL": "model"}

    def chat(self, *arguments: str, columns: int = 200, **environment: str) -> Terminal:
        """Wide, so that lines are whole; the tests of sizes choose another."""
        given = {**self.environment, **environment}
        return Terminal([TOLLWAY, "chat", *arguments], cwd=self.folder, environment=given, columns=columns)

    def asks(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [TOLLWAY, "chat", *arguments],
            cwd=self.folder,
            env={**ENVIRONMENT, **self.environment},
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("chat")
    with simulator(folder) as provider, router(folder, provider.url) as serving:
        account = printed(here("wallet", "new", "--out", "wallet", cwd=folder)).strip()
        printed(here("ledger", "credit", account, "1.00", "--ref", "first", cwd=folder))
        yield Place(folder, serving.url)


def saved(place: Place, screen: Terminal, name: str) -> dict[str, object]:
    """The conversation as the next request would have it."""
    (place.folder / name).unlink(missing_ok=True)
    screen.types(f"/save {name}\n")
    screen.shows(rf"turns written to {name}\n> ")
    found: dict[str, object] = json.loads((place.folder / name).read_text())
    return found


def said(request: dict[str, object]) -> list[tuple[str, str]]:
    messages = request["messages"]
    assert isinstance(messages, list)
    return [(message["role"], message["content"]) for message in messages]


def test_a_conversation_streams_keeps_its_history_and_says_what_each_answer_cost(place: Place) -> None:
    with place.chat("--system", "Be brief.") as screen:
        screen.shows(r"model at http://127\.0\.0\.1:\d+, [\d.]+ USD to spend\n.*\n> ")
        screen.types("simulate: tokens=5,prompt_tokens=20\n")
        screen.shows(re.escape(expected_text(5)))
        first = screen.shows(COST)
        assert (first[1], first[2]) == ("5", "0.00007")
        screen.types("simulate: tokens=3\n")
        second = screen.shows(COST)
        assert said(saved(place, screen, "history.json")) == [
            ("system", "Be brief."),
            ("user", "simulate: tokens=5,prompt_tokens=20"),
            ("assistant", expected_text(5)),
            ("user", "simulate: tokens=3"),
            ("assistant", expected_text(3)),
        ]
        screen.types("/cost\n")
        total = screen.shows(r"([\d.]+) USD in this session: 2 whole answers")
        assert round(float(first[2]) + float(second[2]) - float(total[1]), 12) == 0
        screen.types("\x04")
        assert screen.ended() == 0
    assert "Traceback" not in screen.text


def test_ctrl_c_stops_the_answer_says_that_the_part_is_charged_and_goes_on(place: Place) -> None:
    with place.chat() as screen:
        screen.shows("> $")
        screen.types("simulate: tokens=500,gap=50ms\n")
        screen.shows(re.escape(expected_text(4)))
        screen.types("\x03")
        screen.shows(
            r"stopped: the part that was sent is charged, and stays in the conversation; /retry asks again\n> "
        )
        (_, asked), (role, part) = said(saved(place, screen, "stopped.json"))
        assert (asked, role) == ("simulate: tokens=500,gap=50ms", "assistant")
        assert part.startswith(expected_text(4))
        screen.types("simulate: tokens=2\n")
        screen.shows(COST)
        screen.types("/quit\n")
        assert screen.ended() == 0


def test_a_turn_that_fails_is_one_line_is_not_kept_and_can_be_asked_again(place: Place) -> None:
    with place.chat() as screen:
        screen.shows("> $")
        for message, reason in {
            "simulate: status=500": r"sim \(server_error\)",
            "simulate: tokens=9,fault=cut@4": "not whole",
        }.items():
            screen.types(f"{message}\n")
            screen.shows(rf"tollway: [^\n]*{reason}[^\n]* This turn is not kept: /retry asks again\.\n> ")
            screen.types("/retry\n")
            screen.shows(rf"tollway: [^\n]*{reason}")
            screen.shows("> $")
        assert said(saved(place, screen, "failed.json")) == []


def test_too_little_credit_is_one_line_and_the_conversation_goes_on(place: Place) -> None:
    printed(here("wallet", "new", "--out", "poor", cwd=place.folder))
    with place.chat(TOLLWAY_WALLET="poor") as screen:
        screen.shows("> $")
        screen.types("hello\n")
        screen.shows(r"tollway: [^\n]*USD[^\n]*\n> ")
        screen.types("/help\n")
        screen.shows("/retry +ask the last message again")


def test_a_message_of_several_lines_is_one_message(place: Place) -> None:
    with place.chat() as screen:
        screen.shows("> $")
        screen.types('"""simulate: tokens=2\n')
        screen.shows(r"\. $")
        screen.types('second line\nthird"""\n')
        screen.shows(COST)
        screen.types("simulate: tokens=2 \\\n")
        screen.shows(r"\. $")
        screen.types("and more\n")
        screen.shows(COST)
        asked = [text for role, text in said(saved(place, screen, "lines.json")) if role == "user"]
        assert asked == ["simulate: tokens=2\nsecond line\nthird", "simulate: tokens=2 \nand more"]


def test_commands_change_the_model_and_the_system_prompt_and_begin_anew(place: Place) -> None:
    with place.chat() as screen:
        screen.shows("> $")
        screen.types("simulate: tokens=2\n")
        screen.shows(COST)
        screen.types("/model nosuch\n")
        screen.shows("tollway: no model nosuch")
        screen.types("/model sim/mod\t\n")  # the Tab key completes it
        screen.shows(r"model: sim/model\n")
        screen.types("/system Answer in verse.\n")
        screen.shows(r"system prompt: Answer in verse\.\n")
        screen.types("/clear\n")
        screen.shows("forgotten")
        request = saved(place, screen, "anew.json")
        assert (request["model"], said(request)) == ("sim/model", [("system", "Answer in verse.")])
        screen.types("/models\n")
        screen.shows(r"sim/model +1 +10 +model")
        screen.types("/nosuch\n")
        screen.shows("tollway: no command /nosuch")


def test_the_arrow_key_brings_back_what_was_typed(place: Place) -> None:
    with place.chat() as screen:
        screen.shows("> $")
        screen.types("simulate: tokens=2\n")
        screen.shows(COST)
        screen.types("\x1b[A\n")
        screen.shows(COST)
        assert len(said(saved(place, screen, "again.json"))) == 4


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_whoever_wants_no_colour_gets_no_style(place: Place, variable: str, value: str) -> None:
    with place.chat(**{variable: value}) as screen:
        screen.shows("> $")
        screen.types("simulate: tokens=2\n")
        screen.shows(COST)
    assert not re.search(r"\x1b\[[0-9;]*m", screen.raw)


def test_without_a_model_the_only_one_is_taken(place: Place) -> None:
    with place.chat(TOLLWAY_MODEL="") as screen:
        screen.shows("sim/model at http://")


def test_a_message_in_a_pipe_is_read_whole(place: Place) -> None:
    assert printed(place.asks(stdin=b"simulate: tokens=5\n")) == expected_text(5) + "\n"


@pytest.mark.parametrize(("stdin", "words"), [(b"", "there is no message"), (b"\xff\xfe", "no UTF-8")])
def test_a_pipe_without_a_message_is_one_line(place: Place, stdin: bytes, words: str) -> None:
    assert words in complaint(place.asks(stdin=stdin))


def test_how_to_ask_reaches_the_router(place: Place) -> None:
    answer = json.loads(
        printed(
            place.asks("simulate: tokens=50", "--system", "x", "--max-cost", "0.0005", "--temperature", "0", "--json")
        )
    )
    assert answer["finish_reason"] == "length", "the most it may cost has cut it short"
    assert "max_cost" in complaint(place.asks("hello", "--max-cost", "lots"))
    whole = place.asks("simulate: tokens=5", "--no-stream")
    assert printed(whole) == expected_text(5) + "\n"
    assert "5 tokens" in whole.stderr


def test_a_temperature_beyond_its_range_is_a_usage_error(place: Place) -> None:
    ran = place.asks("hello", "--temperature", "3")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
