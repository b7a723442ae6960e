"""The router's certificate: what is wrong with its files is said at the key that names them."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tollway.config.load import loads
from tollway.config.problems import ConfigError
from tollway.config.schema import Config

PROVIDER = """
[[providers]]
id = "p"
base_url = "http://127.0.0.1:9/v1"
[[providers.models]]
id = "p/m"
context_length = 1000
price = { input = "1", output = "2" }
"""
FILES = 'tls_cert = "cert.pem"\ntls_key = "key.pem"\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, cert: trustme.LeafCert, *, password: bytes | None = None) -> None:
    chain = b"".join(blob.bytes() for blob in cert.cert_chain_pems)
    (folder / "cert.pem").write_bytes(chain)
    key = cert.private_key_pem.bytes()
    if password is not None:
        key = serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    (folder / "key.pem").write_bytes(key)


def load(folder: Path, server: str = FILES, environ: dict[str, str] | None = None) -> Config:
    return loads(f"[server]\n{server}{PROVIDER}", environ or {}, folder)


def problem(folder: Path, server: str = FILES, environ: dict[str, str] | None = None) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, server, environ)
    (found,) = caught.value.problems
    return found.key.removeprefix("server."), found.expected


def test_files_that_fit_become_a_context_from_tls_1_2_on(tmp_path: Path, authority: trustme.CA) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"))
    server = load(tmp_path).server
    assert isinstance(server.tls, ssl.SSLContext)
    assert server.tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert server.public_url == "https://127.0.0.1:8080"
    assert load(tmp_path, "").server.tls is None


@pytest.mark.parametrize("from_file", [True, False])
def test_an_encrypted_key_is_opened_by_its_password(tmp_path: Path, authority: trustme.CA, from_file: bool) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"), password=b"right")
    (tmp_path / "password").write_text("right\n")
    told = 'tls_key_password_file = "password"\n' if from_file else 'tls_key_password_env = "PASSWORD"\n'
    assert load(tmp_path, FILES + told, {"PASSWORD": "right"}).server.tls is not None
    key, said = problem(tmp_path)
    assert (key, "is encrypted" in said, "server.tls_key_password_env" in said) == ("tls_key", True, True)
    (tmp_path / "password").write_text("wrong")
    key, said = problem(tmp_path, FILES + told, {"PASSWORD": "wrong"})
    assert (key, "does not open" in said, "wrong" in said) == ("tls_key", True, False)


def test_a_password_is_named_once_and_must_be_there(tmp_path: Path, authority: trustme.CA) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"))
    variable, file = 'tls_key_password_env = "PASSWORD"\n', 'tls_key_password_file = "password"\n'
    assert problem(tmp_path, FILES + variable)[0] == "tls_key_password_env"
    assert problem(tmp_path, FILES + file)[0] == "tls_key_password_file"
    key, said = problem(tmp_path, FILES + variable + file, {"PASSWORD": "x"})
    assert (key, "keep one" in said) == ("tls_key_password_env", True)


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_certificate_and_key_come_together(tmp_path: Path, given: str, missing: str) -> None:
    key, said = problem(tmp_path, f'{given} = "a.pem"\n')
    assert (key, said.startswith("is missing beside")) == (missing, True)


@pytest.mark.parametrize(("gone", "key"), [("cert.pem", "tls_cert"), ("key.pem", "tls_key")])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, authority: trustme.CA, gone: str, key: str) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"))
    (tmp_path / gone).unlink()
    found, said = problem(tmp_path)
    assert (found, gone in said, "can't be read (No such file" in said) == (key, True, True)
    (tmp_path / gone).write_bytes(b"x" * 1_100_000)
    assert problem(tmp_path)[0] == key
    (tmp_path / gone).write_text("no PEM at all")
    found, said = problem(tmp_path)
    assert (found, "in PEM" in said) == (key, True)


def test_a_key_of_another_certificate_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    write(tmp_path, authority.issue_cert("other.example.com"))
    other = (tmp_path / "key.pem").read_bytes()
    write(tmp_path, authority.issue_cert("router.example.com"))
    (tmp_path / "key.pem").write_bytes(other)
    key, said = problem(tmp_path)
    assert (key, "is not that of the certificate" in said) == ("tls_key", True)


@pytest.mark.parametrize(("shift", "word"), [(timedelta(days=-1), "expired"), (timedelta(days=30), "not yet valid")])
def test_a_certificate_that_is_not_valid_now_is_named(
    tmp_path: Path, authority: trustme.CA, shift: timedelta, word: str
) -> None:
    now = datetime.now(UTC)
    begins, ends = (now - timedelta(days=9), now + shift) if shift < timedelta() else (now + shift, now + 2 * shift)
    write(tmp_path, authority.issue_cert("router.example.com", not_before=begins, not_after=ends))
    key, said = problem(tmp_path)
    assert (key, word in said) == ("tls_cert", True)


def test_a_self_signed_certificate_serves(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "cert.pem"))
    authority.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    assert load(tmp_path).server.tls is not None


def test_a_file_in_a_folder_that_may_not_be_read_says_so(tmp_path: Path, authority: trustme.CA) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"))
    (tmp_path / "key.pem").unlink()
    (tmp_path / "key.pem").mkdir(mode=stat.S_IRWXU)
    assert problem(tmp_path)[0] == "tls_key"


def test_the_context_itself_is_nothing_to_write(tmp_path: Path) -> None:
    assert problem(tmp_path, 'tls = "x"\n')[0] == "tls"


def test_a_public_listener_needs_a_public_https_url_with_tls_too(tmp_path: Path, authority: trustme.CA) -> None:
    write(tmp_path, authority.issue_cert("router.example.com"))
    listen = FILES + 'listen = "0.0.0.0:8443"\n'
    assert "is loopback" in problem(tmp_path, listen)[1]
    assert "is plain http" in problem(tmp_path, listen + 'public_url = "http://router.example.com"\n')[1]
    assert load(tmp_path, listen + 'public_url = "https://router.example.com"\n').server.tls is not None
