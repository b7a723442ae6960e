from pathlib import Path

import pytest

from helpers.configs import BASE, MODEL, PROVIDER, read, refusal
from tollway.config import Address, Config, ConfigError, LedgerUrl, load, load_ledger, load_price_book
from tollway.config.secret import Secret
from tollway.domain.plan import Timeouts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- finished values


def test_what_is_left_out_has_its_default() -> None:
    config = read(PROVIDER)
    assert config.server.listen == Address("127.0.0.1", 8080)
    assert config.server.public_url == "http://127.0.0.1:8080"
    assert config.auth.domains == ("127.0.0.1:8080",)
    assert config.ledger.url == LedgerUrl(store="sqlite", path=BASE / "tollway.db")
    assert config.ops.listen is None
    model = config.providers[0].models[0]
    assert (model.upstream, model.max_output_tokens, model.timeouts) == ("gpt-4o", 128_000, Timeouts())


def test_the_sign_in_domain_is_the_public_urls() -> None:
    assert read('[server]\npublic_url = "https://R.example:8443/x"\n' + PROVIDER).auth.domains == ("r.example:8443",)


def test_the_public_url_follows_the_listener() -> None:
    config = read('[server]\nlisten = "0.0.0.0:9000"\ninsecure = true\n' + PROVIDER)
    assert config.server.public_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("id", "upstream"), [("openai/gpt-4o", "gpt-4o"), ("a/b/c", "b/c"), ("llama", "llama"), ("llama/", "llama/")]
)
def test_the_upstream_name_is_what_follows_the_first_slash(id: str, upstream: str) -> None:
    assert read(PROVIDER.replace("openai/gpt-4o", id)).providers[0].models[0].upstream == upstream


def test_a_written_upstream_name_and_limit_stay() -> None:
    model = read(PROVIDER + 'upstream = "gpt-4o-2024-11-20"\nmax_output_tokens = 16384').providers[0].models[0]
    assert (model.upstream, model.max_output_tokens) == ("gpt-4o-2024-11-20", 16_384)


def test_a_models_timeouts_are_laid_over_its_providers() -> None:
    text = PROVIDER.replace(MODEL, 'timeouts = { idle = "5s", batch = "1m" }\n' + MODEL)
    provider = read(text + 'timeouts = { batch = "5m", total = "1h" }').providers[0]
    assert provider.timeouts == Timeouts(idle=5.0, batch=60.0)
    assert provider.models[0].timeouts == Timeouts(idle=5.0, batch=300.0, total=3600.0)


def test_a_models_timeout_of_the_default_length_still_overrides_its_providers() -> None:
    text = PROVIDER.replace(MODEL, 'timeouts = { idle = "5s" }\n' + MODEL)
    assert read(text + 'timeouts = { idle = "60s" }').providers[0].models[0].timeouts.idle == 60.0


def test_an_absolute_ledger_stays_and_memory_has_no_file() -> None:
    assert read('[ledger]\nurl = "sqlite:////a.db"\n' + PROVIDER).ledger.url.path == Path("/a.db")
    assert read('[ledger]\nurl = "memory:"\n' + PROVIDER).ledger.url == LedgerUrl(store="memory")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\nkeep_alive_comment = 15", "server.keep_alive_comment"),
        ('[server]\nslow_reader = "0s"', "server.slow_reader"),
        ("[server]\nmax_depth = 0", "server.max_depth"),
        ("[server]\nmax_depth = 501", "server.max_depth"),
        ("[server]\nmax_depth = true", "server.max_depth"),
        ("[server]\nmax_depth = 1.5", "server.max_depth"),
        ("[server]\ninsecure = 1", "server.insecure"),
        ("server = 3", "server"),
        ('[auth]\nnonces = "never"', "auth.nonces"),
        ("[auth]\nnonces = true", "auth.nonces"),
        ("[auth]\nchains = []", "auth.chains"),
        ('[auth]\nchains = "eip155:1"', "auth.chains"),
        ('[auth]\ndeny = ["*"]', "auth.deny[0]"),
        ("[billing]\nmarkup = 3", "billing.markup"),
        ("[ops]\nlisten = 9464", "ops.listen"),
    ],
)
def test_a_value_of_another_kind_is_refused_at_its_key(text: str, key: str) -> None:
    assert refusal(f"{text}\n{PROVIDER}").key == key


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("headers = 3", "headers"),
        ('headers = { X-A = "1", x-a = "2" }', "headers.x-a"),
        ('timeouts = "5s"', "timeouts"),
        ('dialect = "anthropic"', "dialect"),
    ],
)
def test_a_providers_value_of_another_kind_is_refused_at_its_key(line: str, key: str) -> None:
    assert refusal(PROVIDER.replace(MODEL, f"{line}\n{MODEL}")).key == f"providers[0].{key}"


def test_a_bare_number_is_told_that_it_needs_a_unit() -> None:
    problem = refusal(f"[server]\nmax_body = 20000000\n{PROVIDER}")
    assert str(problem) == 'server.max_body = 20000000: write it as text, such as "20MB"; a bare number has no unit'


def test_a_wrong_word_is_answered_with_the_near_one() -> None:
    assert 'did you mean "prepaid"?' in refusal(f'[billing]\nmode = "prepayed"\n{PROVIDER}').expected


def test_headers_and_parts_are_the_operators_choice() -> None:
    text = PROVIDER.replace(MODEL, 'headers = { X-Team = "search" }\n' + MODEL) + "part_tokens = { image_url = 1600 }"
    provider = read(text).providers[0]
    assert provider.headers == {"x-team": "search"}
    assert provider.models[0].part_tokens == {"image_url": 1600}


# --- where it comes from


def test_a_file_is_loaded_and_its_folder_is_the_base(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_bytes(b"\xef\xbb\xbf" + PROVIDER.replace("\n", "\r\n").encode())
    config = load(file, {})
    assert isinstance(config, Config)
    assert config.ledger.url.path == tmp_path / "tollway.db"


def test_without_a_path_the_variable_names_the_file(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "router.toml").write_text(PROVIDER)
    assert load(None, {"TOLLWAY_CONFIG": str(tmp_path / "router.toml")}).ledger.url.path == tmp_path / "tollway.db"


def test_without_either_the_file_of_this_folder_is_loaded(folder: Path) -> None:
    (folder / "tollway.toml").write_text(PROVIDER)
    config = load(None, {"TOLLWAY_SERVER__MAX_CALLS": "5", "TOLLWAY_CONFIG": ""})
    assert (config.ledger.url.path, config.server.max_calls) == (Path("tollway.db"), 5)


def test_without_any_file_the_environment_is_the_configuration(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"TOLLWAY_SERVER__MAX_CALLS": "5"})
    assert [problem.key for problem in caught.value.problems] == ["providers"]


@pytest.mark.parametrize(
    ("path", "environ", "tried"),
    [
        (Path("gone.toml"), {"TOLLWAY_SERVER__MAX_CALLS": "5"}, "gone.toml"),
        (None, {"TOLLWAY_CONFIG": "other.toml"}, "other.toml"),
        (None, {}, "tollway.toml"),
    ],
)
def test_a_missing_file_is_named_and_says_what_to_do(
    folder: Path, path: Path | None, environ: dict[str, str], tried: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    assert str(caught.value) == (
        f"no configuration at {tried!r}: run `tollway init` to write one, or name yours with --config"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = ", "is not TOML: Invalid value (at end of document)"),
        (b"a = 1\na = 2", "is not TOML: Cannot overwrite a value"),
        (b"a = " + b"1" * 5000, "a number too long"),
        (b"a = " + b"[" * 5000, "arrays too deep"),
        (b"a = '\xff'", "is not UTF-8 (at byte 5)"),
        (b"#" * (4 * 1024 * 1024 + 1), "is over 4194304 bytes"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "tollway.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "tollway.toml", {})
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "reason"), [(".", "Is a directory"), ("a\0b", "not a file name")])
def test_a_path_that_is_no_file_says_why(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / name, {})
    assert reason in str(caught.value)


# --- the ledger alone


def test_the_ledger_is_found_without_the_providers_keys(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text(PROVIDER.replace(MODEL, f'api_key_env = "NOT_SET"\n{MODEL}') + "x = 1")
    assert load_ledger(tmp_path / "tollway.toml", {}) == LedgerUrl(store="sqlite", path=tmp_path / "tollway.db")


ON_POSTGRESQL = '[ledger]\nurl = "postgresql://u@h/books"\n'


def test_a_databases_password_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hidden\n")
    for how, environ in (('password_env = "DB"', {"DB": "hidden"}), ('password_file = "word"', {})):
        (tmp_path / "tollway.toml").write_text(ON_POSTGRESQL + how)
        url = load_ledger(tmp_path / "tollway.toml", environ)
        assert url == LedgerUrl(store="postgresql", conninfo="postgresql://u@h/books", password=Secret("hidden"))
        assert "hidden" not in repr(url)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (
            ON_POSTGRESQL + 'password_env = "DB"',
            "ledger.password_env",
            "DB is not set: export it with the database's",
        ),
        (ON_POSTGRESQL + 'password_file = "none"', "ledger.password_file", "can't be read"),
        (ON_POSTGRESQL + 'password_env = "DB"\npassword_file = "x"', "ledger.password_file", "keep one of the two"),
        (ON_POSTGRESQL + 'password = "hidden"', "ledger.password", "must not stand in the configuration"),
        ('[ledger]\npassword_env = "DB"', "ledger.password_env", "leave it out"),
    ],
)
def test_mistakes_about_a_databases_password_name_their_key(tmp_path: Path, text: str, key: str, expected: str) -> None:
    (tmp_path / "tollway.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_ledger(tmp_path / "tollway.toml", {})
    assert caught.value.problems[0].key == key
    assert expected in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "key"),
    [
        ('[ledger]\nurl = "x"', {}, "ledger.url"),
        ("ledger = 3", {}, "ledger"),
        ("", {"TOLLWAY_LEDGER_URL": "memory:"}, "TOLLWAY_LEDGER_URL"),
    ],
)
def test_mistakes_about_the_ledger_stop_it(tmp_path: Path, text: str, environ: dict[str, str], key: str) -> None:
    (tmp_path / "tollway.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_ledger(tmp_path / "tollway.toml", environ)
    assert [problem.key for problem in caught.value.problems] == [key]


# --- the operator's price book


def test_the_price_book_is_beside_the_configuration() -> None:
    assert read('[billing]\nprice_book = "prices.json"\n' + PROVIDER).billing.price_book == "/etc/tollway/prices.json"
    assert read(PROVIDER).billing.price_book is None


def test_the_price_book_is_found_without_the_providers_keys(folder: Path) -> None:
    (folder / "etc").mkdir()
    path = folder / "etc" / "tollway.toml"
    path.write_text('[billing]\nprice_book = "p.json"\n' + PROVIDER.replace(MODEL, 'api_key_env = "ABSENT"\n' + MODEL))
    assert load_price_book(path, {}) == (folder / "etc" / "p.json", folder / "etc")
    assert load_price_book(None, {"TOLLWAY_CONFIG": str(path)}) == (folder / "etc" / "p.json", folder / "etc")


def test_without_a_configuration_there_is_no_price_book(folder: Path) -> None:
    assert load_price_book(None, {}) == (None, Path())
    (folder / "tollway.toml").write_text(PROVIDER)
    assert load_price_book(None, {}) == (None, Path())


def test_a_mistake_about_billing_is_said_to_who_asks_for_the_price_book(folder: Path) -> None:
    (folder / "tollway.toml").write_text("[billing]\nprice_book = 3\n[server]\nlisten = 4\n" + PROVIDER)
    with pytest.raises(ConfigError) as refused:
        load_price_book(None, {})
    assert [problem.key for problem in refused.value.problems] == ["billing.price_book"]
