"""Arrays that come anew at every step take no new pages of the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
import minigen
from minigen import optim
{first}
def step():
    kept = [np.zeros(n, np.float32) + 1 for n in (900_000, 50_000, 1_200_000, 700_000)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str, **environment: str) -> int:
    given = {k: v for k, v in os.environ.items() if "MALLOC" not in k} | environment
    command = [sys.executable, "-c", FAULTS.format(first=first)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    return int(done.stdout)


OPTIMIZER = "optim.SGD([minigen.zeros(2, requires_grad=True)], lr=0.1)"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_an_optimizer_keeps_freed_memory() -> None:
    assert faults(OPTIMIZER) < 200
    assert faults("") > 1000  # else the test would show nothing


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_environment_comes_first() -> None:
    assert faults(OPTIMIZER, MALLOC_TRIM_THRESHOLD_="131072") > 1000
