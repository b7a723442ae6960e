"""`tollway route`: the plan of a request, and a recorded decision made again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import complaint, here, printed, tollway
from helpers.running import chat, running

pytestmark = pytest.mark.acceptance

MODEL = """
[[providers]]
id = "{id}"
base_url = "http://127.0.0.1:9/v1"

[[providers.models]]
id = "acme/m"
context_length = 8192
price = {{ input = "{input}", output = "10" }}
"""
CONFIG = '[ledger]\nurl = "memory:"\n' + "".join(
    MODEL.format(id=name, input=usd) for name, usd in (("east", "1"), ("west", "2.50"))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("route")
    (folder / "tollway.toml").write_text(CONFIG)
    (folder / "request.json").write_text(json.dumps(chat(model="acme/m")))
    (folder / "nobody.json").write_text(json.dumps(chat(model="acme/m", provider={"max_price": {"prompt": 0.5}})))
    return folder


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_the_plan_of_a_request_is_a_table(folder: Path) -> None:
    said = rows(
        printed(
            tollway("route", "request.json", "--explain", "--seed", "7", cwd=folder, environment={"COLUMNS": "200"})
        )
    )
    assert said[0] == ["candidate", "kept", "reason", "rank", "weight", "draw", "input", "output"]
    assert sorted(row[0] for row in said[1:3]) == ["east:acme/m", "west:acme/m"]
    assert [(row[1], row[2]) for row in said[1:3]] == [("yes", "1"), ("yes", "2")]
    assert {row[0]: row[5:] for row in said[1:3]} == {"east:acme/m": ["1", "10"], "west:acme/m": ["2.5", "10"]}
    assert said[3] == ["seed", "7"]


def test_the_same_seed_gives_the_same_plan_and_without_one_it_is_drawn(folder: Path) -> None:
    def plan(*arguments: str) -> Any:
        return json.loads(printed(here("route", "request.json", "--json", *arguments, cwd=folder)))

    assert plan("--seed", "7") == plan("--seed", "7")
    assert plan("--seed", "7")["seed"] == 7
    assert plan()["seed"] != plan()["seed"]
    assert sorted(plan()["candidates"]) == ["east:acme/m", "west:acme/m"]


def test_a_request_that_nobody_may_serve_says_why_of_each_and_fails(folder: Path) -> None:
    ran = here("route", "nobody.json", cwd=folder, environment={"COLUMNS": "200"})
    assert complaint(ran).startswith("No provider may serve 'acme/m'.")
    assert [row[:4] for row in rows(ran.stdout)[1:]] == [
        ["east:acme/m", "no", "over_max_price:", "prompt"],
        ["west:acme/m", "no", "over_max_price:", "prompt"],
    ]
    told = json.loads(here("route", "nobody.json", "--json", cwd=folder).stdout)["error"]
    assert told["would_fit"]["lowest_price"] == {"candidate": "east:acme/m", "prompt": "1", "completion": "10"}


def test_an_unknown_model_is_one_line(folder: Path) -> None:
    (folder / "unknown.json").write_text(json.dumps(chat(model="acme/n")))
    ran = here("route", "unknown.json", cwd=folder)
    assert "There is no model 'acme/n'" in complaint(ran)
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name either"),
        (["request.json", "--replay", "request.json"], "name either"),
        (["--replay", "request.json"], "not what GET /generations"),
        (["--replay", "broken.json"], "not what GET /generations"),
        (["--replay", "old.json"], "doesn't say what was asked"),
        (["--replay", "old.json", "--seed", "1"], "leave out --seed"),
        (["broken.json"], "not valid JSON"),
        (["missing.json"], "missing.json"),
        (["huge.json"], "no request and no generation"),
    ],
)
def test_what_can_not_be_explained_says_what_to_do(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "broken.json").write_text("{")
    (folder / "old.json").write_text('{"model_asked": "acme/m", "route": {"seed": 1, "verdicts": []}}')
    with (folder / "huge.json").open("wb") as huge:
        huge.truncate(64 * 1024 * 1024 + 1)
    assert words in complaint(here("route", *arguments, cwd=folder))


async def generation(**fields: Any) -> Any:
    """What GET /generations/{id} says of a call."""
    async with running({"sim": "tokens=2"}) as router:
        wallet = await router.wallet("5.00")
        answer = await router.post(wallet, chat(max_tokens=10, **fields))
        assert answer.status_code == 200, answer.text
        return await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)


SIM = MODEL.format(id="sim", input="1").replace("acme/m", "sim/model").replace("8192", "100000")


def test_a_recorded_decision_comes_out_again(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text('[ledger]\nurl = "memory:"\n' + SIM)
    recorded = asyncio.run(generation(provider={"sort": "latency", "max_price": {"prompt": 1.0}}, seed=4))
    (tmp_path / "generation.json").write_text(json.dumps(recorded))
    said = printed(here("route", "--replay", "generation.json", cwd=tmp_path))
    assert said.endswith(f"seed {recorded['route']['seed']}: the same plan as was recorded\n")
    told = json.loads(printed(here("route", "--replay", "generation.json", "--json", cwd=tmp_path)))
    assert told == {
        "same": True,
        "seed": recorded["route"]["seed"],
        "candidates": ["sim:sim/model"],
        "differences": [],
    }


def test_a_decision_that_differs_now_says_how_and_fails(tmp_path: Path) -> None:
    other = SIM.replace('"sim"', '"other"')
    (tmp_path / "tollway.toml").write_text('[ledger]\nurl = "memory:"\n' + SIM.replace('"10"', '"20"') + other)
    (tmp_path / "generation.json").write_text(json.dumps(asyncio.run(generation())))
    ran = here("route", "--replay", "generation.json", cwd=tmp_path)
    assert "another plan than was recorded" in complaint(ran)
    assert "other:sim/model was no candidate, is number" in ran.stdout
    told = json.loads(here("route", "--replay", "generation.json", "--json", cwd=tmp_path).stdout)
    assert (told["same"], {d["candidate"] for d in told["differences"]}) == (
        False,
        {"sim:sim/model", "other:sim/model"},
    )
