"""A module as a function of its parameters: `functional_call`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from minigen.nn.module import Module
from minigen.ops.joining import stack

__all__ = ["functional_call", "stack_module_state"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with other tensors in the place of its parameters and buffers.

    parameter_and_buffer_dicts: tensors by the names of `named_parameters` and `named_buffers`, or
        several such dictionaries; what they do not name stays the module's own.
    args: the arguments, a tuple, or the only one.
    tie_weights: a tensor that the module has under two names is replaced under both.
    strict: raise RuntimeError unless every parameter and buffer is given.

    The module itself is as before afterwards; a buffer that the call changes in place is the one
    that was given.  Raises ValueError for two different tensors for what is tied.

    >>> import minigen
    >>> from minigen import nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> functional_call(layer, {"weight": minigen.tensor([[1.0, 2.0]])}, minigen.ones(2))
    tensor([3.])
    """
    given = _merged(parameter_and_buffer_dicts)
    own = _own(module)
    _check(module, given, own, strict)
    if tie_weights:
        given = _tied(given, own)
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, {name: given[name] for name in given if name in own}):
        return module(*arguments, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Any]:
    """One dictionary of all."""
    several = [dicts] if isinstance(dicts, Mapping) else dicts
    if not isinstance(several, Sequence) or not all(isinstance(d, Mapping) for d in several):
        raise ValueError(
            "functional_call: expects a dictionary of tensors, or a sequence of dictionaries, got "
            f"{type(dicts).__name__}"
        )
    names = [name for each in several for name in each]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"functional_call: {', '.join(twice)} is in more than one dictionary")
    return {name: value for each in several for name, value in each.items()}


def _own(module: Module) -> dict[str, Any]:
    """Every parameter and buffer, under each of its names."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _check(module: Module, given: dict, own: dict, strict: bool) -> None:
    """Raise RuntimeError for missing and unexpected names, in strict mode."""
    if not strict:
        return
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    if missing or unexpected:
        raise RuntimeError(
            f"functional_call: {type(module).__name__} has no {unexpected}"
            if unexpected
            else f"functional_call: {missing} of {type(module).__name__} are missing"
        )


def _tied(given: dict, own: dict) -> dict:
    """The same tensors, under all names of what they replace."""
    result = dict(given)
    for name, value in given.items():
        for other, tensor in own.items():
            if name not in own or tensor is not own[name] or other == name:
                continue
            if other in given and given[other] is not value:
                raise ValueError(
                    f"functional_call: got different tensors for {name!r} and {other!r}, which are "
                    "tied; give one of them, or tie_weights=False"
                )
            result[other] = value
    return result


@contextmanager
def _replaced(module: Module, tensors: dict) -> Iterator[None]:
    """Put tensors in the module's tables, and its own ones back."""
    before = []
    try:
        for path, tensor in tensors.items():
            parent, _, name = path.rpartition(".")
            tables = module.get_submodule(parent).__dict__
            table = tables["_parameters" if name in tables["_parameters"] else "_buffers"]
            before.append((table, name, table[name]))
            table[name] = tensor
        yield
    finally:
        for table, name, tensor in reversed(before):
            table[name] = tensor


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters, and the buffers, of models of one kind, each stacked along dimension 0.

    With `functional_call` inside `vmap` an ensemble then runs as one model.  The stacked parameters
    are leaves that require grad if the models' do.

    >>> from minigen import nn
    >>> params, _ = stack_module_state([nn.Linear(2, 3), nn.Linear(2, 3)])
    >>> params["weight"].shape
    minigen.Size([2, 3, 2])
    """
    given = list(models)
    if not given:
        raise RuntimeError("stack_module_state: expects at least one model")
    if any(type(each) is not type(given[0]) for each in given):
        raise RuntimeError("stack_module_state: expects models of one class")
    if len({each.training for each in given}) > 1:
        raise RuntimeError(
            "stack_module_state: expects all models to be in one mode, train or eval"
        )
    parameters, buffers = (
        {
            name: _stacked([dict(getattr(m, names)())[name] for m in given])
            for name in dict(getattr(given[0], names)())
        }
        for names in ("named_parameters", "named_buffers")
    )
    return parameters, buffers


def _stacked(tensors: list) -> Any:
    together = stack([each.detach() for each in tensors])
    return together.requires_grad_() if any(each.requires_grad for each in tensors) else together
