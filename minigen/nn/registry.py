"""Which attribute of a module goes into which table.

A Parameter, a submodule and a registered buffer are kept in `_parameters`, `_modules` and
`_buffers` and are found there by `__getattr__`; every other attribute is an ordinary one.
"""

from __future__ import annotations

from typing import Any

from minigen.nn.parameter import Parameter
from minigen.tensor import Tensor


class Registry:
    """An object whose parameters, buffers and submodules stand in tables; base of `Module`."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers_set=set(),
            _forward_hooks={},
            _forward_pre_hooks={},
            _backward_hooks={},
            _backward_pre_hooks={},
        )

    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__
        if "_modules" not in tables:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r} yet: "
                "its __init__ must call super().__init__() first"
            )
        for table in ("_parameters", "_modules", "_buffers"):
            if name in tables[table]:
                return tables[table][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._claim(name, "_parameters", "parameter")
            self.register_parameter(name, value)
        elif isinstance(value, Registry):
            self._claim(name, "_modules", "module")
            self._modules[name] = value
        else:
            for table, what, kind, wanted in _KINDS:
                known = self.__dict__.get(table)
                if known is not None and name in known:
                    if value is not None and not isinstance(value, kind):
                        raise TypeError(
                            f"cannot assign {type(value).__name__!r} as {what} {name!r} "
                            f"({wanted} or None expected); del module.{name} frees the name"
                        )
                    known[name] = value
                    return
            object.__setattr__(self, name, value)

    def _claim(self, name: str, table: str, what: str) -> None:
        """Take the name out of every other table, so that it means one thing."""
        if table not in self.__dict__:
            raise AttributeError(
                f"cannot assign {what} before Module.__init__() call: "
                f"{type(self).__name__}.__init__ must call super().__init__() first"
            )
        self.__dict__.pop(name, None)
        for other in ("_parameters", "_buffers", "_modules"):
            if other != table:
                self.__dict__[other].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        for table in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if name.isidentifier())

    def _check_name(self, name: str, table: str, what: str) -> None:
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"the name of a {what} must be a string, got {type(name).__name__}")
        if "." in name or name == "":
            raise KeyError(f"the name of a {what} cannot be empty or contain '.', got {name!r}")
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under that name; None reserves the name for none.

        Raises TypeError for anything else and ValueError for a tensor that was computed.
        """
        self._check_name(name, "_parameters", "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign {type(param).__name__!r} object to parameter {name!r} "
                "(minigen.nn.Parameter or None expected)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"parameter {name!r} was computed from other tensors; a parameter must be a leaf. "
                "Compute it in forward() instead"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves and is saved with the module but is not learned.

        A buffer that is not `persistent` is left out of `state_dict`.
        """
        self._check_name(name, "_buffers", "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign {type(tensor).__name__!r} object to buffer {name!r} "
                "(minigen.Tensor or None expected)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Registry | None) -> None:
        """Add a submodule under that name."""
        if module is not None and not isinstance(module, Registry):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "_modules", "module")
        self._modules[name] = module

    register_module = add_module


# what an attribute that is a parameter, buffer or module may be changed to
_KINDS = (
    ("_parameters", "parameter", Parameter, "minigen.nn.Parameter"),
    ("_modules", "child module", Registry, "minigen.nn.Module"),
    ("_buffers", "buffer", Tensor, "minigen.Tensor"),
)
