"""A test run in the very process of the code it tests, as nbgrader does: for the notebooks that
`minigen.classroom.nbgrader` writes.

Such a test believes what it is told: code that runs beside it can rebind all that is here. Where
that matters, grade with `minigen classroom grade`.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.classroom.grading import Partly, given
from minigen.testing import GradcheckError


def mark(test: Callable[..., None], points: float, seed: int = 0) -> float:
    """The points that a test gives; says what is wrong if those are not all.

    Functions that it takes are looked up, by the names of its arguments, where it was defined. What
    is written to stderr goes to stdout: nbgrader takes a cell with a warning for one that failed.

    >>> def test_double(double):
    ...     assert double(2) == 4, "twice two is four"
    >>> double = lambda x: x * x
    >>> mark(test_double, points=3)
    3.0
    >>> double = lambda x: x * x * x
    >>> mark(test_double, points=3)
    twice two is four
    0.0
    """
    arguments = given(test, [seed])
    for name in inspect.signature(test).parameters:
        if name not in arguments:
            if not callable(test.__globals__.get(name)):
                print(f"there is no function {name}")
                return 0.0
            arguments[name] = test.__globals__[name]
    with contextlib.redirect_stderr(sys.stdout), np.errstate(all="ignore"):
        share, message = _tried(test, arguments)
    if message:
        print(message)
    return float(points * share)


def _tried(test: Callable[..., None], arguments: dict[str, Any]) -> tuple[float, str]:
    try:
        test(**arguments)
    except Partly as partly:
        return partly.share, str(partly)
    except (AssertionError, GradcheckError) as error:
        return 0.0, str(error) or f"not so: {inspect.getdoc(test) or test.__name__}"
    except NotImplementedError as error:
        return 0.0, str(error) or "not written yet"
    except (Exception, SystemExit) as error:
        return 0.0, f"{type(error).__name__}: {error}"
    return 1.0, ""
