"""How the command line ends: what a mistake of its own looks like, and what may not reach a terminal."""

from collections.abc import Callable

import pytest
from typer import Abort, BadParameter

from tollway.cli.chat_session import show
from tollway.cli.ending import ended, printable, told


def left(run: Callable[[], object]) -> object:
    with pytest.raises(SystemExit) as leaving:
        ended(run)
    return leaving.value.code


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (lambda: None, 0),
        (lambda: 3, 3),
        (raising(SystemExit(4)), 4),
        (raising(SystemExit(None)), 0),
        (raising(SystemExit("words")), 1),
        (raising(BadParameter("no good")), 2),
        (raising(Abort()), 130),
        (raising(KeyError("lost")), 70),
    ],
)
def test_every_end_has_its_exit_code(run: Callable[[], object], code: int) -> None:
    assert left(run) == code


def test_a_mistake_of_the_program_is_one_line_that_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    left(raising(KeyError("lost")))
    said = capsys.readouterr().err
    assert said.startswith("tollway: KeyError in test_ending.py:")
    assert said.count("\n") == 1
    assert "PYTHONDEVMODE=1" in said


def test_what_is_wrong_with_a_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    left(raising(BadParameter("choose from:\n\ta,\n\tb")))
    assert capsys.readouterr().err == "tollway: Invalid value: choose from: a, b\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.toml"), "x.toml: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("what is wrong"), "what is wrong"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_is_told_without_its_number(error: Exception, line: str) -> None:
    assert told(error) == line


@pytest.mark.parametrize("sequence", ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x08", "\x7f"])
def test_nothing_that_steers_a_terminal_is_shown_on_one(
    sequence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(f"before {sequence} after")
    shown = capsys.readouterr().out
    assert not any(control in shown for control in "\x07\x08\x1b\x7f\x9b")
    assert shown.startswith("before ")


def test_a_pipe_gets_an_answer_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show("\x1b[2J")
    assert capsys.readouterr().out == "\x1b[2J"


def test_text_of_any_script_stays_as_it_is() -> None:
    text = "naïve 日本語 👩\N{ZERO WIDTH JOINER}👧 עברית\n\tindented"
    assert printable(text) == text
