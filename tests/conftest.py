"""In CI a test may be skipped for want of a GPU only: all else could have been installed."""

from __future__ import annotations

import os

# One thread a process, set before NumPy and torch are imported: the tests run side by side, and
# thread pools that wait for each other on few cores are many times slower than none.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest  # noqa: E402

GPU_REASON = "needs a GPU"


def _unexcused(reporter: pytest.TerminalReporter) -> list[str]:
    found = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if GPU_REASON not in reason:
            found.append(f"{report.nodeid}: {reason}")
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and _unexcused(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and (found := _unexcused(terminalreporter)):
        terminalreporter.section("skipped in CI, which counts as failed")
        for line in found:
            terminalreporter.line(line)
