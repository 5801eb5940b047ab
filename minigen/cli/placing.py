"""`--device`: which one is meant, and whether it can be used."""

from __future__ import annotations

from minigen.devices import DeviceError, cupy
from minigen.training import RunError


def usable(device: str) -> str:
    """ "cpu" or "cuda"; for "auto" cuda where there is one.

    Raises RunError, which says what is missing, if cuda is asked for and cannot be used.

    >>> usable("cpu")
    'cpu'
    """
    if device == "cpu":
        return "cpu"
    try:
        cupy()
    except DeviceError as error:
        if device == "auto":
            return "cpu"
        raise RunError(str(error)) from error
    return "cuda"
