"""What an operation is before any tensor comes along: a function of arrays, with names and rules.

    @differentiable
    def mul(input, other):
        return input * other

    mul.gradients(
        input=lambda g, other: g * other,
        other=lambda g, input: g * input)

`Operation` reads the signature of the function, `Rule` that of a gradient rule: the parameters of a
rule after the cotangent name what must be kept for it.  What happens at a call is in
`minigen.autograd`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # for PyTorch's


class Rule:
    """The gradient with respect to one argument, or jointly to several."""

    __slots__ = (
        "function", "mask", "names", "output", "position", "positions", "single", "together",
        "wants",
    )  # fmt: skip

    def __init__(
        self,
        operation: Operation,
        names: tuple[str, ...],
        function: Callable,
        together: bool = False,
    ) -> None:
        slots = operation.slots
        self.function, self.together = function, together
        self.names = names
        self.positions = [slots.index(name) for name in names]
        self.position = self.positions[0]
        self.single = len(names) == 1 and self.position < operation.arity
        # the bits of its arguments; those of *tensors are all that follow
        self.mask = -1 << self.position if self.position == operation.arity else 0
        self.mask |= sum(1 << i for i in self.positions if i < operation.arity)
        self.wants: list[int] = []  # positions in `slots`; ~position asks for the shape alone
        for want in list(inspect.signature(function).parameters)[1:]:
            if want in slots:
                self.wants.append(slots.index(want))
            elif want.endswith("_shape") and want[:-6] in slots:
                self.wants.append(~slots.index(want[:-6]))
            else:
                raise TypeError(
                    f"the rule of {operation.name} for {', '.join(names)} asks for {want!r}; there "
                    f"are {', '.join(slots)}, and NAME_shape of each"
                )
        output = len(operation.parameters)
        self.output = self.wants.index(output) if output in self.wants else -1

    def among(self, args: Sequence) -> list:
        """The arguments that a joint rule is about."""
        return [args[i] for i in self.positions]


class Operation:
    """A function of arrays: its arguments, its gradient rules, perhaps its formula.

    promote: casts the arguments without default to a common dtype.
    saves:   names for what the function returns beyond its output, `(output, *saved)`.
    view:    the output shares its memory with the first argument.
    many:    the function returns several outputs.
    flat:    constant in pieces: None from a rule stands for zeros, and is not walked on with.
    """

    def __init__(
        self,
        forward: Callable,
        promote: Callable | None = None,
        saves: Sequence[str] = (),
        view: bool = False,
        many: bool = False,
        flat: bool = False,
    ) -> None:
        self.forward, self.promote, self.saves = forward, promote, saves
        self.view, self.many, self.flat = view, many, flat
        self.name = forward.__name__.strip("_")
        self.signature = inspect.signature(forward)
        parameters = list(self.signature.parameters.values())
        self.parameters = [p.name for p in parameters]
        self.variadic = parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
        self.arity = len(parameters) - self.variadic
        self.positions = {name: i for i, name in enumerate(self.parameters[: self.arity])}
        for alias, name in NUMPY_NAMES.items():
            if name in self.positions:
                self.positions[alias] = self.positions[name]
        self.operands = sum(p.default is inspect.Parameter.empty for p in parameters)
        self.defaults = tuple(p.default for p in parameters)
        self.slots = [*self.parameters, "output", *saves]
        self.rules: list[Rule] = []
        self.plans: dict[int, list] = {}  # what `plan` found: by `tracked`, and ~tracked if saved
        self.formula: Callable | None = None

    @property
    def backward_name(self) -> str:
        """What a `grad_fn` is called, as in PyTorch: `MulBackward0`."""
        return "".join(part.capitalize() for part in self.name.split("_")) + "Backward0"

    def gradients(self, **rules: Callable) -> None:
        """Give the gradient rule of each argument that can have one.

        The first parameter of a rule is the cotangent.  The others name what else it needs, and
        only that is saved: arguments, `output`, what `forward` returned besides (`saves=`), or
        `NAME_shape`.  The rule of a `*tensors` argument returns a sequence of gradients.
        """
        self.rules += [Rule(self, (name,), function) for name, function in rules.items()]
        self.plans.clear()

    def joint_gradient(self, *names: str, together: bool = False) -> Callable:
        """Decorate one rule that computes the gradients of several arguments in one go.

        together: it stands in for the rules that these arguments have of their own, where all of
                  them need a gradient and the function returned what it `saves`: it then may also
                  return its output alone. Of several such rules that of most arguments comes first.
        """

        def define(function: Callable) -> Callable:
            self.rules.append(Rule(self, names, function, together))
            self.plans.clear()
            return function

        return define

    def plan(self, tracked: int, saved: bool = False) -> list:
        """(rule, position or -1, wants) for the arguments whose bit is set in `tracked`; `saved`:
        whether the function returned more than its output."""
        whole, done = [], 0
        for rule in sorted(self.rules, key=lambda r: -len(r.names)) if saved else ():
            if rule.together and tracked & rule.mask == rule.mask and not rule.mask & done:
                whole.append(rule)
                done |= rule.mask
        plan = [
            (rule, rule.position if rule.single else -1, rule.wants)
            for rule in self.rules
            if (rule in whole if rule.together else tracked & rule.mask & ~done)
        ]
        if not self.variadic:
            self.plans[~tracked if saved else tracked] = plan
        return plan

    def define_formula(self, function: Callable) -> Callable:
        """Decorate the same function written in differentiable operations, from which gradients of
        gradients follow where the rules are not differentiable themselves."""
        self.formula = function
        return function

    def complete(self, args: tuple, kwargs: dict) -> tuple:
        """All arguments of a call in order, defaults filled in, NumPy's names for PyTorch's."""
        given = len(args)
        if self.operands <= given <= self.arity:
            completed = [*args, *self.defaults[given:]]
            for name, value in kwargs.items():
                position = self.positions.get(name, -1)
                if position < given:
                    break  # there is no such argument, or it was given already
                completed[position] = value
            else:
                return tuple(completed)
        for name in self.positions.keys() & kwargs.keys():
            kwargs[self.parameters[self.positions[name]]] = kwargs.pop(name)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        bound.apply_defaults()
        return bound.args
