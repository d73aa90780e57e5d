"""Several things at once: all are done, or the first failure stops the rest."""

import threading

import pytest

from ecogvault.pool import Stopped, run_all, unless
from ecogvault.tarball.pipeline import Stage, run


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


@pytest.mark.parametrize("threads", [2, 4])
def test_of_several_failures_in_a_pipeline_the_one_of_the_first_item_is_raised(threads: int) -> None:
    """Item 0 fails only once item 1 has: what is said of a damaged file must not depend on which thread was faster."""
    begun = iter(range(100))
    second_failed = threading.Event()

    def begin(slot: list[int]) -> bool:
        slot[:] = [next(begun)]
        return True

    def work(slot: list[int]) -> None:
        if slot[0] == 0:
            assert second_failed.wait(60)
            raise ValueError("item 0")
        if slot[0] == 1:
            second_failed.set()
            raise ValueError("item 1")

    with pytest.raises(ValueError, match="item 0"):
        run(begin, [Stage(work, ordered=False)], [[-1] for _ in range(threads)], threads=threads)
