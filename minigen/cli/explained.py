"""How commands are registered: the docstring of a function is its help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

__all__ = ["UsageError", "explained", "new_app"]

UsageError: Any = typer.BadParameter.__mro__[1]  # of click, wherever typer carries it


def new_app(**options: Any) -> typer.Typer:
    """An application, or a group of commands, in minigen's manner."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def explained(register: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """Register a command; its docstring, each paragraph to be broken anew, is the help."""

    def decorate(function: Any) -> Any:
        paragraphs = inspect.cleandoc(function.__doc__).split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        return register(help=text, **options)(function)

    return decorate
