"""What all commands share: what they print can't do more than be read."""

import io

import pytest
from rich.console import Console

from tollway.cli import common
from tollway.cli.common import out, print_table


@pytest.mark.parametrize("said", ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x08", "\x7f"])
def test_what_a_router_says_can_not_steer_the_terminal(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out.print(f"older ones: --cursor {said}")
    shown = capsys.readouterr().out
    assert shown.startswith("older ones: --cursor ")
    assert not any(control in shown for control in "\x07\x08\x1b\x7f\x9b")


def test_a_line_end_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("one\ntwo")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_column_without_a_name_fits_a_narrow_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(common, "out", Console(file=text, force_terminal=True, width=20, color_system=None))
    print_table(("", "USD", ""), [("owed to wallets", "4.99", "a remark")], right=("USD",))
    assert "4.99" in text.getvalue()
