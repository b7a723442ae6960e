"""How a command that serves is told to stop: the first SIGTERM or SIGINT asks, the second ends it at once. And how it
is told to read its configuration again: SIGHUP."""

import asyncio
import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STANDARD = (0, 1, 2)  # where a command that was started in a terminal has it


def stop_signal() -> asyncio.Event:
    """Set by the first signal. After it the system's own handling is back, so that a second one kills the process:
    the books stand up to that at any point. For the main thread, inside its event loop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def first() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, first)
    return stop


def hangup_signal(stop: asyncio.Event) -> asyncio.Event:
    """Set by every SIGHUP, for the rest of the process; one that says that the terminal was closed sets `stop` instead.
    For the main thread, inside its event loop."""
    hangups = asyncio.Event()
    terminals = [descriptor for descriptor in STANDARD if os.isatty(descriptor)]

    def hung_up() -> None:
        closed = [descriptor for descriptor in terminals if not os.isatty(descriptor)]
        _say_nothing_more(closed)
        (stop if closed else hangups).set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
    return hangups


def _say_nothing_more(closed: list[int]) -> None:
    """What is said to a terminal that has gone would fail, at the latest when Python ends: with exit code 120."""
    if not closed:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in closed:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
