"""`tollway chat`: one message and its answer, streamed as it comes; or a conversation, on a terminal."""

import dataclasses
import sys
from typing import Annotated, Any

import typer

from tollway.cli.chat_session import show, streamed, whole
from tollway.cli.chat_terminal import converse
from tollway.cli.common import (
    DEFAULT_URL,
    CommandFailed,
    JsonFlag,
    KeyOption,
    UrlOption,
    WalletIfNoKey,
    command,
    print_json,
)
from tollway.cli.conversation import Asking, Reply
from tollway.cli.ending import complain
from tollway.cli.grouped import grouped
from tollway.cli.signed_in import signed_in
from tollway.client.api import RouterClient

MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # of stdin; more than any model's context


@dataclasses.dataclass(frozen=True)
class Options:
    """How to ask."""

    model: Annotated[
        str | None,
        typer.Option("--model", envvar="TOLLWAY_MODEL", help="Model id or alias; `tollway models` lists them."),
    ] = None
    system: Annotated[str | None, typer.Option("--system", help="The system prompt.")] = None
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer, in tokens.")] = None
    max_cost: Annotated[str | None, typer.Option(help="The most an answer may cost, in USD: 0.01")] = None
    temperature: Annotated[
        float | None,
        typer.Option(min=0, max=2, help="From 0 (the likeliest words) to 2; left to the model if not given."),
    ] = None


@command
@grouped
def chat(
    how: Options,
    wallet: WalletIfNoKey = None,
    key: KeyOption = None,
    message: Annotated[
        str | None, typer.Argument(help="What to say; read from stdin if left out, or a conversation on a terminal.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="The answer when it is whole.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model. The answer goes to stdout, what it cost to stderr.

    Without MESSAGE, on a terminal, it is a conversation: /help lists its commands.

    \b
    Example:
      tollway chat "What is a toll?" --model gpt-4o --wallet wallet.json
      tollway chat --model gpt-4o --wallet wallet.json < question.txt
      tollway chat --wallet wallet.json
    """
    asking = Asking(**{**dataclasses.asdict(how), "model": how.model or ""})
    talks = message is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    if not talks and not asking.model:
        raise typer.BadParameter("Name the model with --model (or TOLLWAY_MODEL): `tollway models` lists them.")
    with signed_in(url, wallet, key) as router:
        if talks:
            converse(router, asking, stream=not no_stream)
            return
        text = _piped() if message is None else message
        _answer(router, asking.body([{"role": "user", "content": text}]), stream=not no_stream, as_json=as_json)


def _answer(router: RouterClient, body: dict[str, Any], *, stream: bool, as_json: bool) -> None:
    if stream and not as_json:
        reply = print_stream(router, body)
    else:
        reply = Reply()
        answer = router.complete(body)
        whole(answer, reply)
        if as_json:
            print_json(answer_view(answer, reply))
            return
        show(reply.text + "\n")
    typer.echo(reply.cost_line(), err=True)


def print_stream(router: RouterClient, body: dict[str, Any]) -> Reply:
    """The answer to stdout as it comes. Raises RouterError for half an answer."""
    reply = Reply()
    try:
        streamed(router.stream(body), reply)
    except KeyboardInterrupt:
        if reply.request_id is not None:
            complain("stopped: the part that was sent is charged, `tollway statement` shows it")
        raise
    finally:
        show("\n")
    return reply


def answer_view(answer: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """What `--json` prints: the first choice, and what the router says of the call. Amounts in USD, decimal text."""
    choices = answer.get("choices") or [{}]
    return {
        "text": reply.text,
        "finish_reason": choices[0].get("finish_reason"),
        "model": reply.tollway.get("model"),
        "provider": reply.tollway.get("provider"),
        "cost_usd": reply.usage.get("cost"),
        "balance_usd": reply.tollway.get("balance_usd"),
        "usage": reply.usage,
        "request_id": reply.request_id,
        "attempts": reply.tollway.get("attempts"),
    }


def _piped() -> str:
    data = sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 1)
    if len(data) > MESSAGE_BYTES_MAX:
        raise CommandFailed(f"stdin has over {MESSAGE_BYTES_MAX} bytes: no model takes a message that long")
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise CommandFailed("stdin is no UTF-8 text") from None
    if not text:
        raise CommandFailed("there is no message: name it, or write it to stdin")
    return text
