"""How a command that serves is told to stop: the first SIGTERM or SIGINT asks, the second ends it at once. And how it
is told to read its configuration again: SIGHUP."""

import asyncio
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


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


def hangup_signal() -> asyncio.Event:
    """Set by every SIGHUP, for the rest of the process. For the main thread, inside its event loop."""
    hangups = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangups.set)
    return hangups
