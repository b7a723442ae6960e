"""What all commands share: what they print can't do more than be read."""

import pytest

from tollway.cli.common import out


@pytest.mark.parametrize("said", ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x08", "\x7f"])
def test_what_a_router_says_can_not_steer_the_terminal(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out.print(f"older ones: --cursor {said}")
    shown = capsys.readouterr().out
    assert shown.startswith("older ones: --cursor ")
    assert not any(control in shown for control in "\x07\x08\x1b\x7f\x9b")


def test_a_line_end_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("one\ntwo")
    assert capsys.readouterr().out == "one\ntwo\n"
