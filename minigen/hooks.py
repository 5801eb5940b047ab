"""Hooks: functions that are called when a gradient, or a layer's output, is known."""

from __future__ import annotations

from typing import Any


class RemovableHandle:
    """What registering a hook returns; `remove()` takes the hook off again."""

    def __init__(self, hooks: Any, hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if isinstance(self._hooks, dict):
            self._hooks.pop(self._hook, None)
        elif self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
