import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.config.problems import COMPARED_MAX, ConfigError, Problem, key_path, nearest, one_of, shown


def test_a_key_path_is_spelled_as_in_toml() -> None:
    assert key_path(("providers", 0, "models", 1, "price", "input")) == "providers[0].models[1].price.input"
    assert key_path(("providers", 0, "headers", "x y")) == "providers[0].headers.'x y'"
    assert key_path(()) == ""


def test_a_problem_is_one_line_with_the_key_the_value_and_what_is_right() -> None:
    problem = Problem(key="server.listen", expected="expected host:port", value="'x'")
    assert str(problem) == "server.listen = 'x': expected host:port"


def test_a_problem_names_the_variable_that_the_value_came_from() -> None:
    problem = Problem(
        key="server.listen", expected="expected host:port", value="'x'", variable="TOLLWAY_SERVER__LISTEN"
    )
    assert str(problem) == "server.listen = 'x' (from TOLLWAY_SERVER__LISTEN): expected host:port"


def test_a_problem_without_a_value_or_a_key_says_what_it_can() -> None:
    assert str(Problem(key="a.b", expected="is missing")) == "a.b: is missing"
    assert str(Problem(key="", expected="no such file")) == "no such file"


def test_an_error_is_a_block_of_lines_one_a_problem() -> None:
    problems = (Problem(key="a", expected="x"), Problem(key="b", expected="y"))
    error = ConfigError(problems)
    assert str(error) == "a: x\nb: y"
    assert error.problems == problems


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("a\nb", r"'a\nb'"),
        ("a" * 100, repr("a" * 80 + "…")),
        pytest.param("://" * 1_000_000, "a text of 3000000 characters", id="long"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (2.5, "2.5"),
        ({"a": 1}, "{...}"),
        ([1], "[...]"),
        (dt.date(2026, 1, 1), "2026-01-01"),
        pytest.param(16**5000, "a huge number", id="huge"),
    ],
)
def test_values_are_quoted_short_and_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("https://me:secret@host/x", "'https://***@host/x'"),
        ("postgresql://me:se/cr@et@host", "'postgresql://***@host'"),
        ("me:secret@host", "'me:***@host'"),
        ("https://host/x?key=secret", "'https://host/x?***'"),
    ],
)
def test_passwords_and_queries_are_never_shown(value: str, text: str) -> None:
    assert shown(value) == text


@given(value=st.text())
def test_whatever_is_shown_stays_on_one_line(value: str) -> None:
    assert len(shown(value).splitlines()) == 1
    assert len(key_path((value,)).splitlines()) == 1


@pytest.mark.parametrize(
    "value",
    ["host=db password=hunter2", "Server=db;Pwd = hunter2;", "host=db passfile=hunter2", "PASSWORD=hunter2 host=db"],
)
def test_a_password_in_a_database_s_own_words_is_not_shown(value: str) -> None:
    assert "hunter2" not in shown(value)


def test_the_near_name_is_found_whatever_its_case_and_dashes() -> None:
    assert nearest("Max-Body", ["listen", "max_body"]) == "max_body"
    assert nearest("zzz", ["listen", "max_body"]) is None


def test_of_a_list_from_outside_only_the_first_names_are_looked_at() -> None:
    names = iter(["max-body", *["listen"] * COMPARED_MAX])
    assert nearest("max_body", names) == "max-body"
    assert list(names) == ["listen"]


def test_without_a_near_name_all_are_listed() -> None:
    assert one_of("lisen", ["listen", "drain"]) == 'did you mean "listen"?'
    assert one_of("zzz", ["listen", "drain"]) == "known here: drain, listen."
    assert one_of("zzz", []) == "known here: none."
    assert one_of("zzz", [f"name{i:02}" for i in range(21)]).endswith("name19, ....")
