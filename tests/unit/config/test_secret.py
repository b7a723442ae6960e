from pathlib import Path

import pytest

from tollway.config.secret import SECRET_BYTES_MAX, Secret, from_environment, from_file


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("sk-123456")
    assert secret.reveal() == "sk-123456"
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr({"key": secret})):
        assert "sk-123456" not in text


def test_secrets_are_equal_when_their_values_are() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_secret_is_read_from_a_variable() -> None:
    assert from_environment("KEY", {"KEY": " sk-1\n"}) == Secret("sk-1")


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "variable KEY is not set"),
        ({"KEY": " "}, "variable KEY is empty"),
        ({"KEY": "hidden hidden"}, "variable KEY holds characters"),
        ({"KEY": "hidden\udcff"}, "variable KEY holds characters"),
    ],
)
def test_a_variable_without_a_key_is_named_and_its_value_is_not(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        from_environment("KEY", environ)
    assert "hidden" not in str(caught.value)


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    assert from_file(tmp_path / "key") == Secret("sk-1")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"hidden\xff", "holds characters"), (b"a" * (SECRET_BYTES_MAX + 1), "is over 8192 bytes")],
)
def test_a_file_without_a_key_is_named_and_its_content_is_not(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        from_file(tmp_path / "key")
    assert str(tmp_path / "key") in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file") as caught:
        from_file(tmp_path / "gone")
    assert str(tmp_path / "gone") in str(caught.value)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="not a file name"):
        from_file(Path("a\0b"))
