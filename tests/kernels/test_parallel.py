"""Jobs cut into parts: every part once, errors come back, threads share the pool, forks own one."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from minigen.kernels import parallel

import minigen


@pytest.fixture(autouse=True)
def three_threads():
    before = parallel.threads()
    parallel.set_threads(3)
    yield
    parallel.set_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_every_part_once(count):
    done = np.zeros(count, int)

    def part(i: int) -> None:
        done[i] += 1

    parallel.each(part, range(count))
    assert (done == 1).all()


def test_several_threads_take_part():
    """Each part waits until all three are being worked on, beyond the power of one thread."""
    together = threading.Barrier(3, timeout=20)
    parallel.each(lambda _: together.wait(), range(3))


def test_one_thread_is_the_callers():
    parallel.set_threads(1)
    seen = set()
    parallel.each(lambda _: seen.add(threading.current_thread()), range(5))
    assert seen == {threading.current_thread()}


def test_an_error_comes_back_and_the_pool_goes_on():
    def part(i: int) -> None:
        if i == 1:
            raise ValueError("part 1")

    for _ in range(3):
        with pytest.raises(ValueError, match="part 1"):
            parallel.each(part, range(9))
    test_every_part_once(5)


def test_nothing_is_written_after_it_returned():
    """The caller may reuse its arrays at once, also when a part failed."""
    running = []

    def part(i: int) -> None:
        running.append(i)
        time.sleep(0.002)
        running.remove(i)
        if i == 2:
            raise ValueError

    for _ in range(5):
        with pytest.raises(ValueError):
            parallel.each(part, range(8))
        assert not running


def test_a_part_that_has_parts_itself():
    done = np.zeros((4, 5), int)

    def outer(i: int) -> None:
        parallel.each(lambda j: done.__setitem__((i, j), done[i, j] + 1), range(5))

    parallel.each(outer, range(4))
    assert (done == 1).all()


def test_callers_on_several_threads():
    done = np.zeros((6, 50), int)

    def call(i: int) -> None:
        parallel.each(lambda j: done.__setitem__((i, j), done[i, j] + 1), range(50))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert (done == 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child():
    parallel.each(lambda _: time.sleep(0.001), range(6))  # the pool's threads are there
    child = os.fork()
    if child == 0:
        test_every_part_once(20)
        os._exit(0)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child waits for threads that it does not have")


def test_set_num_threads_is_for_kernels_too():
    before = minigen.get_num_threads()
    minigen.set_num_threads(2)
    assert parallel.threads() == 2
    minigen.set_num_threads(before)


def test_rejected():
    with pytest.raises(ValueError, match="positive"):
        parallel.set_threads(0)
