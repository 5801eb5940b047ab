"""NAME=VALUE on the command line."""

from __future__ import annotations

import ast
from typing import Any

from minigen.cli.explained import UsageError


def keyword(text: str) -> tuple[str, Any]:
    """`dim=-1` -> ("dim", -1); what is no Python literal is text.

    Raises UsageError for text without a name.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set takes NAME=VALUE, as in dim=-1, not {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
