"""The pages hold together and keep up with the code: links, blocks, and the HTTP interface in docs/http.md.

What is told of configuration, errors, metrics, routing, prices and commands is held against the code by tests of those
rooms; commands in console blocks are run by tests/acceptance/test_readme.py.
"""

import ast
import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.configs import PROVIDER
from helpers.console import BLOCK
from tollway.api import cors
from tollway.api.operations import OPERATIONS, PREFIX
from tollway.api.services import REQUEST_ID_BYTES_MAX
from tollway.api.session import PAGE_DEFAULT, PAGE_MAX
from tollway.api.usage import DAYS_MAX
from tollway.auth.envelope import HEADER_BYTES_MAX
from tollway.config import presets
from tollway.config.load import loads
from tollway.config.schema import Server
from tollway.domain import errors
from tollway.intake.limits import BYTES_PER_S_MIN, FIELDS_MAX, USER_MAX, Limits
from tollway.ops.metrics import ALARMS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
HTTP = (DOCS / "http.md").read_text(encoding="utf-8")
SIGN_IN = (DOCS / "sign-in.md").read_text(encoding="utf-8")

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
HEADER_NAME = re.compile(r"[a-z]+(-[a-z]+)*\Z")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A page without its blocks, where brackets are code."""
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """What a page's headings are linked as (GitHub's rule)."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(path)):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeated = sum(1 for name in found if name == words or re.fullmatch(rf"{re.escape(words)}-\d+", name))
        found.add(f"{words}-{repeated}" if repeated else words)
    return found


def blocks(*languages: str) -> list[Any]:
    """Every block in these languages, as a test's parameter that names the page and the line."""
    return [
        pytest.param(match[2], id=f"{name_of(page)}:{text[: match.start()].count(chr(10)) + 1}")
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in BLOCK.finditer(text)
        if match[1] in languages
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{name_of(page)} links to {target}, which is not there"
        assert not anchor or anchor in anchors(there), f"{name_of(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:src|tests|docs|scripts|bench)/[\w./-]+\.\w+)`", prose(page))
    assert [file for file in named if not (ROOT / file).exists() and not file.startswith("bench/results/")] == []


def test_the_index_has_every_page_and_the_readme_has_the_index() -> None:
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(prose(INDEX))}
    assert {page for page in PAGES if page.parent == DOCS} - linked == {INDEX}
    assert "(docs/README.md)" in prose(ROOT / "README.md")


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_block_of_configuration_is_one_or_a_part_of_one(text: str, tmp_path: Path) -> None:
    if "\nchecked = " in text:  # not of a configuration, but of the providers known by name
        assert presets.parse(text)
        return
    for file in re.findall(r'api_key_file = "([^"/]+)"', text):
        (tmp_path / file).write_text("key")
    if (files := re.findall(r'tls_(?:cert|key) = "([^"/]+)"', text)) != []:
        issued = trustme.CA().issue_cert("router.example.com")
        for file, pem in zip(files, (issued.cert_chain_pems[0], issued.private_key_pem), strict=True):
            pem.write_to_path(str(tmp_path / file))
    if text.lstrip().startswith("[[providers.models]]"):
        text = f'[[providers]]\nid = "openai"\nbase_url = "https://api.openai.com/v1"\n{text}'
    elif "[[providers]]" not in text:
        text += PROVIDER
    elif "[[providers.models]]" not in text:
        text += PROVIDER[PROVIDER.index("[[providers.models]]") :]
    named = re.findall(r'(?:api_key|password)_env = "(\w+)"', text)
    usual = [name for preset in presets.PRESETS.values() for name in preset.keys]
    environment = dict.fromkeys([*named, *usual], "key")
    assert loads(text, environment, tmp_path).providers


@pytest.mark.parametrize("text", blocks("json"))
def test_a_block_of_json_is_json(text: str) -> None:
    assert json.loads(text)


@pytest.mark.parametrize("text", blocks("python"))
def test_a_block_of_python_compiles_and_imports_what_exists(text: str) -> None:
    tree = compile(text, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("text", blocks("sh", "console"))
def test_a_block_of_shell_is_shell(text: str) -> None:
    if text.startswith("$ ") or "\n$ " in text:  # with what was printed
        return
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


def test_the_blocks_are_in_languages_that_a_test_reads() -> None:
    languages = {match[1] for page in PAGES for match in BLOCK.finditer(page.read_text(encoding="utf-8"))}
    assert languages <= {
        "console",
        "html",
        "ini",
        "js",
        "json",
        "nginx",
        "promql",
        "python",
        "sh",
        "text",
        "toml",
        "ts",
    }


# --- docs/http.md


def test_every_operation_stands_in_the_table_of_paths() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (\S+)` \| (yes|no) \| ", HTTP, re.MULTILINE)
    assert rows == [(one.method.upper(), one.path, "yes" if one.signed else "no") for one in OPERATIONS]


def table(heading: str) -> set[str]:
    """The names in the first column of the table below a heading of docs/http.md."""
    section = HTTP.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def header_names(*, sent: bool) -> set[str]:
    """Header names in the code that answers callers: of those read, compared with a name or looked up by it; of those
    sent, the first of a pair, or a key."""
    source = ROOT / "src" / "tollway"
    files = [
        *(source / "api").glob("*.py"),
        *(source / "egress").glob("*.py"),
        source / "intake" / "body.py",
        source / "limits" / "told.py",
        source / "server" / "connection.py",
        source / "server" / "head.py",
    ]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    found = {name for tree in trees for node in ast.walk(tree) for name in (_sent(node) if sent else _read(node))}
    return {name.decode() for name in found if HEADER_NAME.match(name.decode("latin-1"))}


def _sent(node: ast.AST) -> Iterator[bytes]:
    parts: list[ast.expr | None] = []
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        parts = [node.elts[0]]
    elif isinstance(node, ast.Dict):
        parts = list(node.keys)
    yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, bytes))


def _read(node: ast.AST) -> Iterator[bytes]:
    parts: list[ast.expr] = []
    if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "name":
        parts = node.comparators
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        parts = node.args[:1]
    yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, bytes))


def test_every_request_header_that_is_read_stands_in_its_table_and_no_other() -> None:
    assert table("Headers that are read") == header_names(sent=False)


def test_every_response_header_that_is_sent_stands_in_its_table_and_no_other() -> None:
    tables = table("Headers that are sent") | {name for name in table("CORS") if name.startswith("access-control-")}
    assert tables == header_names(sent=True)


def test_the_cors_section_has_every_method_and_header_of_a_preflight() -> None:
    section = HTTP.split("\n## CORS\n", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`([^`]+)`", section))
    assert named >= {*cors.METHODS, *cors.ALLOWED, *cors.EXPOSED, str(cors.MAX_AGE_S)}


def test_the_numbers_of_the_page_are_the_codes() -> None:
    limits = Limits()
    for line in (
        f"| arrays, objects and members | {limits.max_nodes} |",
        f"| fields at the top | {FIELDS_MAX} |",
        f"| `models` | {limits.max_models} |",
        f"| `stop` | {limits.max_stop} |",
        f"| `n` | {limits.max_n} |",
        f"| `user` | {USER_MAX} characters |",
        f"of all callers | `server.max_bodies` ({Server().max_bodies // 10**9} GB) |",
        f"a second for each {BYTES_PER_S_MIN >> 10} KiB",
        f"`limit` ({PAGE_DEFAULT}, at most {PAGE_MAX})",
        f"at most {DAYS_MAX})",
        f"at most {HEADER_BYTES_MAX >> 10} KiB; of several",
        f"{REQUEST_ID_BYTES_MAX} bytes of it",
    ):
        assert line in HTTP, line


def test_the_page_names_both_prefixes() -> None:
    assert PREFIX == "/api/v1"
    assert "under `/api/v1` is served under `/v1` too" in HTTP


# --- what more than one page tells


def test_the_sign_in_page_has_every_error_of_signing_in() -> None:
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and _refuses_a_caller(kind)}
    assert codes == set(re.findall(r"^\| `([a-z_]+)` \|", SIGN_IN.split("\n## Errors\n", 1)[1], re.MULTILINE))


def _refuses_a_caller(kind: type) -> bool:
    return issubclass(kind, errors.SignInError | errors.AccountNotAllowed)


def test_the_operators_page_says_what_to_do_about_every_alarm_by_linking_to_them() -> None:
    assert "(metrics.md#alarms)" in (DOCS / "operate.md").read_text(encoding="utf-8")
    assert [alarm for alarm in ALARMS if f"`{alarm}`" not in (DOCS / "metrics.md").read_text(encoding="utf-8")] == []
