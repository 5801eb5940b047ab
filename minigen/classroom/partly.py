"""A share of a test's points."""

from __future__ import annotations


class Partly(AssertionError):
    """Raised by a test for a share of its points, 0 to 1, with what is missing in words."""

    def __init__(self, share: float, message: str) -> None:
        super().__init__(message)
        self.share = share
