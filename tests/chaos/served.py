"""Starts routers: `tollway serve` in a process of its own each, forked from one that has imported everything, so that
a life costs a tenth of a second.

Reads one order a line from stdin (`Order`, JSON), answers on stdout `{"started": PID}` and, when a process has ended,
`{"ended": PID, "code": N}` (negative: by that signal). Ends, and its routers with it, when stdin does.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from chaos.steps import Fuse, lay
from tollway import cli
from tollway.cli import serve as _serve  # noqa: F401  # what a router needs is imported before it is forked


def main() -> None:
    children: set[int] = set()

    def reap(*_: object) -> None:
        while children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            children.discard(pid)
            _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _live(json.loads(line))
        children.add(pid)
        _say({"started": pid})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for pid in tuple(children):
        os.kill(pid, signal.SIGKILL)


def _live(order: dict[str, Any]) -> None:
    """The process that is to be killed. Doesn't return."""
    code = 1
    try:
        os.chdir(order["folder"])
        log = os.open(Path(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream, source in ((0, nothing), (1, nothing), (2, log)):
            os.dup2(source, stream)
        os.environ.update(order["environment"])
        random.seed()
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if order["step"] == "torn_commit" else signal.SIG_IGN)
        lay(Fuse(order["step"], order["nth"], order["seed"]))
        sys.argv = ["tollway", *order["arguments"]]
        cli.main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    finally:
        os._exit(code)


def _say(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
