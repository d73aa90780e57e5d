"""Several things at once: all are done, or the first failure stops the rest."""

import threading

import pytest

from ecogvault.pool import run_all


def test_everything_is_done_a_few_at_a_time() -> None:
    running, most, done = 0, 0, []
    guard = threading.Lock()

    def work(item: int) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        done.append(item)
        with guard:
            running -= 1

    run_all(work, range(50), at_once=3)
    assert sorted(done) == list(range(50))
    assert most <= 3


def test_after_a_failure_nothing_more_is_begun_though_an_earlier_one_still_runs() -> None:
    begun: list[int] = []
    together = threading.Barrier(3)
    hold = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        together.wait(30)
        if item == 1:
            threading.Timer(0.2, hold.set).start()
            raise ValueError("one")
        hold.wait(30)

    with pytest.raises(ValueError, match="one"):
        run_all(work, range(1000), at_once=3)
    assert sorted(begun) == [0, 1, 2]
