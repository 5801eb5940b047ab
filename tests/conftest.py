"""In CI a test may be skipped for want of a GPU only: all else could have been installed.

At its end the suite says what it has checked (`tests/statement.py`).
"""

from __future__ import annotations

import os
import zlib

# One thread a process, set before NumPy and torch are imported: the tests run side by side, and
# thread pools that wait for each other on few cores are many times slower than none.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import minigen  # noqa: E402
from tests import expressions  # noqa: E402
from tests.statement import STATEMENT  # noqa: E402

GPU_REASON = "needs a GPU"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Random numbers follow from the test's name alone, not from what ran before it."""
    seed = zlib.crc32(item.nodeid.encode())
    minigen.manual_seed(seed)
    for module in (getattr(item, "module", None), expressions):
        for value in vars(module).values() if module else ():
            if isinstance(value, np.random.Generator):
                value.bit_generator.state = type(value.bit_generator)(seed).state


def _unexcused(reporter: pytest.TerminalReporter) -> list[str]:
    found = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if GPU_REASON not in reason:
            found.append(f"{report.nodeid}: {reason}")
    return found


def _whole_suite(config: pytest.Config) -> bool:
    """Whether nothing was left out on the command line."""
    chosen = config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False)
    return not chosen and config.args_source is not config.ArgsSource.ARGS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """A process of a parallel run has ended: take over its notes."""
    notes = getattr(node, "workeroutput", {}).get("statement")
    if notes:
        STATEMENT.merge(notes)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["statement"] = STATEMENT.to_dict()
        return
    if _whole_suite(session.config) and STATEMENT.missing():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and _unexcused(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if STATEMENT.counts["cases"]:
        terminalreporter.section("what was checked")
        for what, number in STATEMENT.table():
            terminalreporter.line(f"{what:44} {number:>8}")
    if _whole_suite(terminalreporter.config) and (missing := STATEMENT.missing()):
        terminalreporter.section("not checked to the second order, which counts as failed")
        for name in missing:
            terminalreporter.line(name)
    if os.environ.get("CI") and (found := _unexcused(terminalreporter)):
        terminalreporter.section("skipped in CI, which counts as failed")
        for line in found:
            terminalreporter.line(line)
