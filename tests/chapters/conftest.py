"""What the tests of chapters share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from minigen.chapters.chapter import Chapter
from minigen.chapters.execution import Execution
from tests.chapters.executions import run_once


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Chapter], Execution]:
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return lambda chapter: run_once(chapter, folder)
