"""Every input of the corpus, tried without a fuzzer; and that each property would notice what it is there to notice."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz import answers, cuts, faults, messages, requests, siwx, sse
from fuzz.__main__ import KEPT_BYTES_MAX, keep_small
from fuzz.targets import TARGETS, corpus, words
from helpers.scripted import DONE, USAGE, chunk
from helpers.sign_ins import EVM, header
from helpers.sign_ins import text as signed_text
from tollway.auth import envelope, message
from tollway.server.connection import Connection as Server
from tollway.upstream.dialects.openai_openai import ChunkReader
from tollway.upstream.http1.connection import Connection as Client
from tollway.upstream.http1.response import Response
from tollway.wire.sse import SseDecoder

CORPUS_BYTES_MAX = 200_000  # all of it, since everybody clones it
INPUTS = [
    pytest.param(name, path, id=f"{name}-{path.name}") for name in TARGETS for path in sorted(corpus(name).iterdir())
]
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(("target", "path"), INPUTS)
def test_every_property_holds_for_what_was_found(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_any_few_bytes_hold(target: str) -> None:
    for data in (b"", *(bytes([first]) for first in range(256)), b"\0\0\0", b"\xff" * 40):
        TARGETS[target](data)


def test_the_corpus_is_small_and_each_target_has_one() -> None:
    sizes = {target: [path.stat().st_size for path in corpus(target).iterdir()] for target in TARGETS}
    assert all(len(of_one) > 10 for of_one in sizes.values())
    assert max(max(of_one) for of_one in sizes.values()) <= 2 * KEPT_BYTES_MAX
    assert sum(sum(of_one) for of_one in sizes.values()) < CORPUS_BYTES_MAX
    assert all(words(target).is_file() for target in TARGETS)


def test_without_the_fuzzer_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = "import sys; sys.modules['atheris'] = None; sys.path.insert(0, '.'); import runpy; "
    run = f"{blocked}sys.argv = ['fuzz', '--seconds', '1']; runpy.run_module('fuzz', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", run], cwd=TESTS, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "make fuzz installs" in ran.stdout


# --- the properties notice


def spoiled(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, spoil: Callable[[Any], Any]) -> None:
    """`owner.name` with its result spoiled."""
    good = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given, **named: spoil(good(*given, **named)))


STREAM = cuts.uncut(chunk("hi") + chunk(finish="stop") + USAGE + DONE)


def test_an_event_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled(monkeypatch, SseDecoder, "feed", lambda found: found[1:])
    with pytest.raises(AssertionError, match="other events"):
        sse.check(cuts.uncut(b"data: a\n\n"))


def test_a_token_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sse.check(STREAM)
    spoiled(monkeypatch, ChunkReader, "feed", lambda found: found[1:])
    with pytest.raises(AssertionError):
        sse.check(STREAM)


ANSWER = b"\x02" + cuts.uncut(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")


def test_a_connection_that_is_used_again_too_soon_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers.check(ANSWER)
    good = Client.on_headers_complete

    def hasty(self: Client) -> None:
        good(self)
        self._complete = self._keep = True

    monkeypatch.setattr(Client, "on_headers_complete", hasty)
    with pytest.raises(AssertionError):
        answers.check(ANSWER)


def test_a_body_that_is_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Response.add
    monkeypatch.setattr(Response, "add", lambda self, pieces: good(self, [pieces.pop()[:-1]]))
    with pytest.raises(AssertionError, match="another answer"):
        answers.check(ANSWER + bytes(answers.BYTEWISE_MAX))  # too long to be cut everywhere


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 33\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"


def test_a_body_that_is_taken_for_a_request_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    smuggled = b"\x01\x00" + bytes([len(POST)]) + POST + GET.ljust(33) + GET
    requests.check(smuggled)
    monkeypatch.setattr("tollway.server.connection.framing", lambda headers: b"POST / HTTP/1.1\r\n\r\n")
    with pytest.raises(AssertionError):
        requests.check(smuggled)


def test_a_trailer_that_is_taken_for_a_header_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-a: 1\r\n\r\n"
    requests.check(cuts.uncut(chunked))
    good = Server.on_header

    def careless(self: Server, name: bytes, value: bytes) -> None:
        good(self, name, value)
        self._headers.append((name.lower(), value))

    monkeypatch.setattr(Server, "on_header", careless)
    with pytest.raises(AssertionError, match="other requests"):
        requests.check(cuts.uncut(chunked))


def test_a_field_that_says_more_than_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    siwx.check(b"h" + header(EVM))
    good = message._read_statement
    monkeypatch.setattr(message, "_read_statement", lambda lines: ("another", good(lines)[1]))
    with pytest.raises(AssertionError):
        siwx.check(b"t" + signed_text(EVM).encode())


def test_a_spelling_that_makes_another_sign_in_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_URL_SAFE", bytes(range(256)))
    with pytest.raises(Exception, match=r"not base64|another sign-in"):
        siwx.check(b"j" + b'{"message":"\xc3\xbf\xc3\xbf\xc3\xbf>>>???","signature":"?>?>~~~"}')


def test_a_key_that_is_shown_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"\x64\0\0" + b'{"error":{"message":"@ may not"}}'
    faults.check(refusal)
    monkeypatch.setattr("tollway.upstream.faults.redact", lambda text, secrets=(): text)
    with pytest.raises(AssertionError, match="our key is told"):
        faults.check(refusal)


# --- the other readers, by cases whose answer is known


def test_the_other_reader_of_http_reads_what_is_clear_and_nothing_else() -> None:
    assert [request.target for request in messages.requests(GET + GET[:-1])] == [b"/a"]
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\n\r\nrest"
    assert messages.answer(chunked, ended=False)[2:] == (b"hi", b"rest")
    assert messages.answer(b"HTTP/1.1 200 OK\r\n\r\nhi", ended=True)[2:] == (b"hi", None)
    for unclear in (
        b"HTTP/1.1 200 OK\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nh",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Other\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nfolded: 1\r\n 2\r\ncontent-length: 0\r\n\r\n",
    ):
        with pytest.raises(messages.Unclear):
            messages.answer(unclear, ended=False)


def test_what_is_kept_is_small_and_new(tmp_path: Path) -> None:
    kept, found = tmp_path / "kept", tmp_path / "found"
    kept.mkdir()
    found.mkdir()
    (kept / "named").write_bytes(b"a")
    for name, data in (("1", b"a"), ("2", b"b"), ("3", b"c" * (KEPT_BYTES_MAX + 1))):
        (found / name).write_bytes(data)
    assert keep_small(found, kept) == 1
    assert sorted(path.read_bytes() for path in kept.iterdir()) == [b"a", b"b"]
