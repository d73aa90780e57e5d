"""Several things at once: all are done, or the first failure stops the rest."""

import threading

import pytest

from ecogvault.pool import Stopped, run_all, unless


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


def test_work_that_takes_long_is_given_up_when_other_work_fails_and_the_failure_is_what_is_told() -> None:
    stopping = threading.Event()
    both = threading.Barrier(2)

    def work(item: int) -> None:
        both.wait(30)
        if item == 1:
            raise ValueError("one")
        assert stopping.wait(30)
        unless(stopping)

    with pytest.raises(ValueError, match="one"):
        run_all(work, range(2), stopping=stopping)
    with pytest.raises(Stopped, match="run again"):
        unless(stopping)
    unless(threading.Event())
