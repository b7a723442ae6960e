"""Where Valkey is, as it is written, and its password, which is written nowhere."""

from pathlib import Path

import pytest

from tollway.config.load import loads
from tollway.config.problems import ConfigError
from tollway.config.schema import Cluster
from tollway.config.secret import Secret
from tollway.config.valkey import ValkeyUrl, valkey_url

BODY = """
[[providers]]
id = "p"
base_url = "http://127.0.0.1:9/v1"
[[providers.models]]
id = "p/m"
context_length = 1000
price = { input = "1", output = "2" }
"""


def cluster(text: str, environ: dict[str, str] | None = None, folder: Path | None = None) -> Cluster:
    return loads(f"[cluster]\n{text}\n{BODY}", environ or {}, folder or Path()).cluster


@pytest.mark.parametrize(
    ("text", "expected", "normal"),
    [
        ("redis://h", ValkeyUrl(host="h"), "redis://h:6379"),
        ("valkey://h:7000/3", ValkeyUrl(host="h", port=7000, db=3), "redis://h:7000/3"),
        ("rediss://u@h/", ValkeyUrl(host="h", tls=True, username="u"), "rediss://u@h:6379"),
        ("VALKEYS://h", ValkeyUrl(host="h", tls=True), "rediss://h:6379"),
        ("redis://[::1]:7000", ValkeyUrl(host="::1", port=7000), "redis://[::1]:7000"),
        ("redis://[::1]", ValkeyUrl(host="::1"), "redis://[::1]:6379"),
        ("unix:/run/v.sock", ValkeyUrl(path="/run/v.sock"), "unix:/run/v.sock"),
        ("unix:///run/v.sock?db=2", ValkeyUrl(path="/run/v.sock", db=2), "unix:/run/v.sock?db=2"),
    ],
)
def test_a_url_says_where_it_is(text: str, expected: ValkeyUrl, normal: str) -> None:
    assert valkey_url(text) == expected
    assert str(expected) == normal
    assert valkey_url(normal) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected where Valkey is"),
        ("http://h", "expected where Valkey is"),
        ("redis://", "expected where Valkey is"),
        ("redis://h/db", "expected where Valkey is"),
        ("redis://h?db=1", "expected where Valkey is"),
        ("unix:relative", "expected where Valkey is"),
        ("unix:/a b", "expected where Valkey is"),
        ("redis://h:99999", "at most 65535"),
        ("redis://h y", "host:port"),
        ("redis://a b@h", "letters, digits"),
        ("redis://:hidden@h", "cluster.password_env"),
        ("redis://user:hidden@h", "cluster.password_env"),
    ],
)
def test_what_is_no_such_url_is_refused_without_its_password(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(f'url = "{text}"')
    assert [problem.key for problem in caught.value.problems] == ["cluster.url"]
    assert expected in str(caught.value) and "hidden" not in str(caught.value)


def test_nothing_is_shared_unless_it_is_named_and_a_lost_valkey_lets_calls_pass() -> None:
    assert loads(BODY, {}, Path()).cluster == Cluster(url=None, password=None, limits_when_lost="open")


def test_the_password_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hidden\n")
    for how, environ in (('password_env = "V"', {"V": "hidden"}), ('password_file = "word"', {})):
        found = cluster(f'url = "redis://h"\n{how}', environ, tmp_path)
        assert found.password == Secret("hidden")
        assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('url = "redis://h"\npassword_env = "V"', "password_env", "V is not set: export it with Valkey's password"),
        ('url = "redis://h"\npassword_file = "none"', "password_file", "can't be read"),
        ('url = "redis://h"\npassword_env = "V"\npassword_file = "x"', "password_env", "keep one of the two"),
        ('url = "redis://h"\npassword = "hidden"', "password", "must not stand in the configuration"),
        ('password_file = "x"', "password_file", "write where it is"),
        ('limits_when_lost = "maybe"', "limits_when_lost", "closed, open"),
    ],
)
def test_every_mistake_names_its_key(text: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(text)
    assert [problem.key for problem in caught.value.problems] == [f"cluster.{key}"]
    assert expected in str(caught.value) and "hidden" not in str(caught.value)
