"""The certificate that the router shows, read and tried: its files must be there, belong together and be valid now.

Trying is a handshake in memory between this certificate and a client that trusts it alone, so that what is said of it
is OpenSSL's own word. Knows nothing of sockets.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path

from tollway.config import files
from tollway.config.read import Spot
from tollway.config.schema import Server
from tollway.config.secret import Secret, from_environment, from_file

WHAT = "the key's password"
FILE_BYTES_MAX = 1024 * 1024  # a chain has some kilobytes
STEPS_MAX = 16  # of the handshake; two or three are enough


class UnusableFile(ValueError):
    """`key` is the configuration's key that names the file at fault."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


def from_files(server: Server, at: Spot, environ: Mapping[str, str], base_dir: Path) -> ssl.SSLContext | None:
    """What the router shows its callers, from the files that `[server]` (which is `at`) names; None for plain HTTP, and
    where something was wrong, which is reported."""
    cert, key = server.tls_cert, server.tls_key
    if cert is None and key is not None:
        (at / "tls_cert").missing("is missing beside tls_key: name the file with the certificate and its chain")
    if key is None and cert is not None:
        (at / "tls_key").missing("is missing beside tls_cert: name the file with the certificate's private key")
    password = _password(server, at, environ, base_dir)
    keys = ("tls_cert", "tls_key", "tls_key_password_env", "tls_key_password_file")
    if cert is None or key is None or not all(at.reading.sound(*at.path, name) for name in keys):
        return None
    try:
        return server_tls(base_dir / cert, base_dir / key, password)
    except UnusableFile as error:
        (at / error.key).missing(str(error))
        return None


def _password(server: Server, at: Spot, environ: Mapping[str, str], base_dir: Path) -> Secret | None:
    variable, file = server.tls_key_password_env, server.tls_key_password_file
    at = at / ("tls_key_password_file" if variable is None else "tls_key_password_env")
    if variable is not None and file is not None:
        at.missing("stands beside tls_key_password_file: keep one of the two")
        return None
    try:
        if variable is not None:
            return from_environment(variable, environ, WHAT)
        if file is not None:
            return from_file(base_dir / file, WHAT)
    except ValueError as error:
        at.missing(str(error))
    return None


def server_tls(cert: Path, key: Path, password: Secret | None) -> ssl.SSLContext:
    """TLS 1.2 and later, as Python's defaults have it otherwise. Raises UnusableFile."""
    for name, path in (("tls_cert", cert), ("tls_key", key)):
        _check_readable(name, path)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        trusting.load_verify_locations(cert)
    except ssl.SSLError:
        raise UnusableFile("tls_cert", f"the file {str(cert)!r} holds no certificate in PEM") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    asked = False

    def answer() -> str:
        nonlocal asked
        asked = True  # without an answer of ours OpenSSL would ask at the terminal
        return "" if password is None else password.reveal()

    try:
        context.load_cert_chain(cert, key, password=answer)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable_key(cert, key, error, asked=asked, password=password is not None) from None
    _try(context, trusting, cert)
    return context


def _check_readable(name: str, path: Path) -> None:
    try:
        size = len(files.read(path, FILE_BYTES_MAX))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a file name"
        raise UnusableFile(name, f"the file {str(path)!r} can't be read ({reason})") from None
    if size > FILE_BYTES_MAX:
        raise UnusableFile(name, f"the file {str(path)!r} is over {FILE_BYTES_MAX} bytes: it is no PEM file")


def _unusable_key(cert: Path, key: Path, error: Exception, *, asked: bool, password: bool) -> UnusableFile:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return UnusableFile("tls_key", f"the key in {str(key)!r} is not that of the certificate in {str(cert)!r}")
    if asked and not password:
        return UnusableFile(
            "tls_key",
            f"the key in {str(key)!r} is encrypted: name its password in server.tls_key_password_env or "
            "server.tls_key_password_file",
        )
    if asked:
        return UnusableFile("tls_key", f"the password that is named does not open the key in {str(key)!r}")
    return UnusableFile("tls_key", f"the file {str(key)!r} holds no private key in PEM")


def _try(context: ssl.SSLContext, trusting: ssl.SSLContext, cert: Path) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        trusting.wrap_bio(to_client, to_server),
        context.wrap_bio(to_server, to_client, server_side=True),
    )
    done: set[ssl.SSLObject] = set()
    try:
        for _ in range(STEPS_MAX):
            for end in ends:
                try:
                    end.do_handshake()
                    done.add(end)
                except ssl.SSLWantReadError:
                    continue
            if len(done) == len(ends):
                return
    except ssl.SSLCertVerificationError as error:
        raise UnusableFile(
            "tls_cert", f"the certificate in {str(cert)!r} can't be used: {error.verify_message}"
        ) from None
    except ssl.SSLError as error:
        raise UnusableFile(
            "tls_cert", f"the certificate in {str(cert)!r} can't be used: {(error.reason or 'it fails').lower()}"
        ) from None
    raise UnusableFile("tls_cert", f"no handshake comes to an end with the certificate in {str(cert)!r}")
