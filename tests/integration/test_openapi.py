"""/openapi.json and /docs: they describe what is served, all of it, and nothing else."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from helpers.refusals import UUID7, refused
from helpers.running import Running, running
from tollway import __version__
from tollway.api.error_guide import ADVICE
from tollway.api.openapi import openapi
from tollway.api.operations import OPERATIONS
from tollway.domain.errors import TollwayError
from tollway.egress.additions import Tollway
from tollway.intake.schema import FIELDS, PREFERENCES
from tollway.routes import table

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ERROR_ROW = re.compile(r"\| `([a-z_]+)` \| [0-9]{3} \| .+? \| (.+?) \| (.+?) \|\Z")
DOCUMENT = openapi(__version__)
SCHEMAS = DOCUMENT["components"]["schemas"]
BOTH = pytest.mark.parametrize(
    ("path", "kind"), [("/openapi.json", "application/json"), ("/docs", "text/html; charset=utf-8")]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running() as router:
        yield router


def codes(operation: Any, status: int) -> set[str]:
    """The error codes that an operation documents for a status."""
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    return set(schema["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"]) if "allOf" in schema else set()


def every_error() -> dict[str, type[TollwayError]]:
    waiting: list[type[TollwayError]] = [TollwayError]
    found = {}
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found[kind.code] = kind
    return found


# --- the document


async def test_the_document_is_served_as_it_is_built(router: Running) -> None:
    answer = await router.http.get("/openapi.json")
    assert answer.json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", __version__)


async def test_every_path_of_the_route_table_is_described_and_no_other(router: Running) -> None:
    exact, patterns = table(router.router.services)
    served = {path.replace(":path}", "}") for path in [*exact, *(path for path, _ in patterns)]}
    aliases = {path for path in served if path.startswith("/v1/")}
    assert {f"/api{path}" for path in aliases} == {path for path in served if path.startswith("/api/v1/")}
    assert served - aliases == set(DOCUMENT["paths"])


@pytest.mark.parametrize("path", DOCUMENT["paths"])
async def test_the_methods_described_are_those_that_are_served(router: Running, path: str) -> None:
    answer = await router.http.request("TRACE", path.replace("{id}", "x"))
    refused(answer, 405, "method_not_allowed")
    served = set(answer.headers["allow"].split(", "))
    assert {method.upper() for method in DOCUMENT["paths"][path]} == served - {"HEAD"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_what_needs_a_sign_in_is_what_refuses_a_caller_without_one(router: Running, operation: Any) -> None:
    answer = await router.http.request(operation.method, operation.path.replace("{id}", "x"))
    described = DOCUMENT["paths"][operation.path][operation.method]
    assert described["security"] == ([{"wallet": []}, {"bearer": []}] if answer.status_code == 401 else [])
    assert str(answer.status_code) in described["responses"]


async def test_both_ways_to_sign_in_are_described() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["wallet"]["in"], schemes["wallet"]["name"]) == ("header", "Sign-In-With-X")
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")


@pytest.mark.parametrize("code", sorted(every_error()))
async def test_every_error_code_is_documented_under_its_status(code: str) -> None:
    status = every_error()[code].status
    operations = [DOCUMENT["paths"][one.path][one.method] for one in OPERATIONS]
    assert any(code in codes(one, status) for one in operations if str(status) in one["responses"])
    assert code in SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]


async def test_every_error_is_listed_with_the_words_of_its_page() -> None:
    rows = [row for row in map(ERROR_ROW.match, ERRORS_PAGE.read_text().splitlines()) if row]
    assert {row[1]: (row[2], row[3]) for row in rows} == dict(ADVICE)
    assert {one["code"]: (one["meaning"], one["cure"]) for one in DOCUMENT["x-errors"]} == dict(ADVICE)


async def test_the_request_described_is_the_one_that_is_read() -> None:
    request = SCHEMAS["ChatRequest"]
    assert set(request["properties"]) == {*FIELDS, "messages"}
    assert request["required"] == ["model", "messages"]
    assert set(SCHEMAS["Preferences"]["properties"]) == set(PREFERENCES)
    assert request["properties"]["temperature"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 2}
    assert request["properties"]["n"]["anyOf"][0]["maximum"] == 128
    assert "\\A" not in str(request)


async def test_the_additions_described_are_those_that_are_made() -> None:
    assert set(SCHEMAS["Tollway"]["properties"]) == set(Tollway.__struct_encode_fields__)
    assert {"usage", "tollway"} <= set(SCHEMAS["ChatCompletion"]["required"])


async def test_a_stream_is_described() -> None:
    answer = DOCUMENT["paths"]["/api/v1/chat/completions"]["post"]["responses"]["200"]
    stream = answer["content"]["text/event-stream"]
    assert "[DONE]" in stream["schema"]["description"]
    assert stream["x-event-schema"]["$ref"].endswith("/ChatCompletionChunk")


async def test_every_reference_leads_somewhere() -> None:
    named = re.findall(r"#/components/schemas/(\w+)", msgspec.json.encode(DOCUMENT).decode())
    assert set(named) <= set(SCHEMAS)
    assert set(SCHEMAS) - set(named) == set()


# --- how both are served


@BOTH
async def test_a_document_may_be_kept_and_is_asked_for_again_by_its_etag(router: Running, path: str, kind: str) -> None:
    answer = await router.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert UUID7.match(answer.headers["x-request-id"])
    assert answer.headers["cache-control"] == "public, max-age=300"
    etag = answer.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await router.http.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert "content-length" not in again.headers
    assert (await router.http.get(path, headers={"if-none-match": '"other"'})).status_code == 200


@BOTH
async def test_a_document_is_only_read(router: Running, path: str, kind: str) -> None:
    head = await router.http.head(path)
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", kind)
    refused(await router.http.post(path), 405, "method_not_allowed", says="use GET, HEAD.")
    refused(await router.http.get(path, headers={"x-large": "x" * 17_000}), 431, "headers_too_large")


async def test_a_revoked_sign_in_is_answered_without_a_body_or_its_length(router: Running) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.http.request("DELETE", "/v1/session", headers=router.headers(wallet))
    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"content-length", "content-type"} & set(answer.headers)


# --- the page


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_loads_nothing_and_runs_nothing(router: Running) -> None:
    answer = await router.http.get("/docs")
    page = Page(answer.text)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not [name for name in page.attributes if name.startswith("on") or name in ("src", "style")]
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")


async def test_the_page_has_every_path_error_object_and_field_and_every_link_leads_somewhere(router: Running) -> None:
    page = Page((await router.http.get("/docs")).text)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    assert {one.name for one in OPERATIONS} | set(SCHEMAS) | set(every_error()) <= set(page.ids)
    for path in DOCUMENT["paths"]:
        assert path in page.text
    for schema in SCHEMAS.values():
        for field in schema.get("properties", {}):
            assert field in page.text


async def test_the_page_follows_the_readers_colours(router: Running) -> None:
    assert "prefers-color-scheme: dark" in (await router.http.get("/docs")).text
