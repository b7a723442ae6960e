"""One thread, a bounded queue, and jobs that fail alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tollway.recount.worker import Worker

LIMIT_S = 10.0


class Panic(BaseException):
    """What native code raises that panics."""


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test-worker", 4)
    yield made
    made.close()


class Held:
    """A job that the thread is at until it is let go."""

    def __init__(self, worker: Worker) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        submitted = worker.submit(self.run)
        assert submitted is not None
        self.future: Future[bool] = submitted
        assert self.begun.wait(LIMIT_S)

    def run(self) -> bool:
        self.begun.set()
        return self.go.wait(LIMIT_S)


def test_work_is_done_in_another_thread(worker: Worker) -> None:
    future = worker.submit(lambda: threading.current_thread().name)
    assert future is not None
    assert future.result(LIMIT_S) == "test-worker"


def test_no_thread_is_made_before_there_is_work(worker: Worker) -> None:
    assert "test-worker" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("error", [ValueError("no"), Panic("no"), SystemExit(1), MemoryError()])
def test_a_job_that_fails_fails_alone(worker: Worker, error: BaseException) -> None:
    def fail() -> None:
        raise error

    failed, after = worker.submit(fail), worker.submit(lambda: 1)
    assert failed is not None and after is not None
    found = failed.exception(LIMIT_S)
    assert isinstance(found, Exception)
    assert isinstance(error, Exception) or type(error).__name__ in str(found)
    assert after.result(LIMIT_S) == 1


def test_a_thread_that_died_is_replaced_by_the_next_job(worker: Worker) -> None:
    first = worker.submit(threading.current_thread)
    assert first is not None
    worker._put(2, None)  # as the end of the thread is asked for
    first.result(LIMIT_S).join(LIMIT_S)
    second = worker.submit(threading.current_thread)
    assert second is not None
    assert second.result(LIMIT_S) is not first.result()


def test_a_full_queue_takes_no_more_and_takes_again_when_it_is_not(worker: Worker) -> None:
    held = Held(worker)
    waiting = [worker.submit(lambda: 1) for _ in range(4)]
    assert None not in waiting
    assert worker.submit(lambda: 1) is None
    held.go.set()
    assert [future.result(LIMIT_S) for future in waiting if future is not None] == [1] * 4
    again = worker.submit(lambda: 2)
    assert again is not None
    assert again.result(LIMIT_S) == 2


def test_urgent_work_goes_first(worker: Worker) -> None:
    done: list[str] = []
    held = Held(worker)
    futures = [
        worker.submit(lambda: done.append("ordinary")),
        worker.submit(lambda: done.append("urgent"), urgent=True),
    ]
    held.go.set()
    for future in futures:
        assert future is not None
        future.result(LIMIT_S)
    assert done == ["urgent", "ordinary"]


def test_closing_drops_what_waits_and_takes_no_more(worker: Worker) -> None:
    held = Held(worker)
    waiting = worker.submit(lambda: 1)
    held.go.set()
    held.future.result(LIMIT_S)
    worker.close()
    assert waiting is not None
    assert waiting.done()
    assert worker.submit(lambda: 1) is None
    worker.close()
