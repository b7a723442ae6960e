"""One thread for what must not be done on the event loop, and a bounded queue before it. Knows nothing of what it does.

Urgent jobs go first. A job that fails fails alone, whatever it raises; a thread that died is replaced by the next job.
"""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

CLOSE_S_MAX = 1.0  # for the job that is being done; the thread is a daemon, and ends with the process

T = TypeVar("T")
_Job = tuple[int, int, "tuple[Future[Any], Callable[[], Any]] | None"]
_URGENT, _ORDINARY, _LAST = range(3)


class Worker:
    """The thread begins with the first job."""

    def __init__(self, name: str, jobs_max: int) -> None:
        self._name = name
        self._queue: queue.PriorityQueue[_Job] = queue.PriorityQueue(jobs_max)
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Callable[[], T], *, urgent: bool = False) -> "Future[T] | None":
        """What `work` will give; None when as many are waiting as may, or the worker is closed."""
        future: Future[T] = Future()
        if self._closed or not self._put(_URGENT if urgent else _ORDINARY, (future, work)):
            return None
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return future

    def close(self) -> None:
        """Drop what waits, and end the thread after the job that it is at. Safe to call twice."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while (job := self._queue.get_nowait()[2]) is not None:
                job[0].cancel()
        self._put(_LAST, None)
        if self._thread is not None:
            self._thread.join(CLOSE_S_MAX)

    def _put(self, rank: int, job: "tuple[Future[Any], Callable[[], Any]] | None") -> bool:
        try:
            self._queue.put_nowait((rank, next(self._numbers), job))
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        while (job := self._queue.get()[2]) is not None:
            future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except Exception as error:
                    future.set_exception(error)
                except BaseException as error:  # a panic of native code is none; nobody awaits anything worse
                    future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
            del job, future, work  # whoever's text it was: nothing holds on to it while the queue is empty
