"""Reverse-mode automatic differentiation: record, walk back, accumulate.

How to read this file, in order:

1. `Variable`: what the graph needs to know of a tensor.  `minigen.tensor.Tensor` adds the rest.
2. `Node`: one recorded operation.
3. `differentiable`: makes an operation on tensors, which leaves a node behind, out of a function of
   arrays and a gradient rule for each of its arguments.
4. `_Walk`: visits the nodes from the result back to the leaves, each once.  A node is always
   younger than the nodes it came from, so *descending order of creation* is a topological order:
   no recursion, no counters.  (Linnainmaa 1970; Baydin et al. 2018, arXiv:1502.05767, section 3.2.)

A gradient rule (`minigen.operation`) is called with the cotangent `g`, the gradient of the final
result with respect to the operation's output, and returns the gradient with respect to one
argument: a vector-Jacobian product.  Called with arrays alone, an operation is its bare function.
So one rule serves twice: on arrays in an ordinary backward, and on tensors, leaving a graph of the
gradient behind, under `create_graph`.

This module knows no derivative and no function of NumPy.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from minigen import backend, dtypes, errors, modes
from minigen.modes import ANOMALY, GRAD, INFERENCE, enable_grad, mode, no_grad
from minigen.operation import Operation, Rule

# PyTorch has these under this name, too
detect_anomaly, inference_mode = modes.detect_anomaly, modes.inference_mode
set_grad_enabled = modes.set_grad_enabled

# ------------------------------------------------------------------ 1. a tensor, to the graph


class Version:
    """How often the memory under a tensor and its views was changed in place, and where last."""

    __slots__ = ("count", "where")

    def __init__(self) -> None:
        self.count = 0
        self.where = ""


INFERENCE_VERSION = Version()  # of everything that is made in inference_mode


class View:
    """How a view came about, `operation(base, *args)`, and what node `base` had then."""

    __slots__ = ("args", "base", "node", "operation")

    def __init__(self, operation: Callable, base: Variable, args: tuple) -> None:
        self.operation, self.base, self.args, self.node = operation, base, args, base.node


class Variable:
    """An array and its place in the graph: a leaf (no `node`) or the output of a `Node`."""

    __slots__ = (
        "__weakref__", "_hooks", "_requires_grad", "_version", "_view", "array", "grad", "node",
    )  # fmt: skip
    array: Any
    grad: Any
    node: Node | None
    _requires_grad: bool
    _version: Version | None  # made when first needed: by a save or a view
    _view: View | None
    _hooks: list | None

    def __new__(cls, data: Any, requires_grad: bool = False) -> Any:  # as in older scripts
        return wrap(data.array).requires_grad_(requires_grad)

    def version(self) -> Version:
        if self._version is None:
            self._version = Version()
        return self._version

    def changed_in_place(self, where: str | None = None) -> None:
        """Tell the graph that the memory of this tensor now holds other values."""
        if self._version is not None:  # otherwise nobody saved it
            self._version.count += 1
            self._version.where = where or errors.caller()

    def refresh(self) -> Any:
        """Bring a view up to date with its base.  (`minigen.transforms`: what to do instead.)"""
        view = self._view
        if view is not None:
            view.base.refresh()
            if view.base.node is not view.node:
                view.node = view.base.node
                with enable_grad():
                    again = view.operation(view.base, *view.args)
                self.node, self._requires_grad = again.node, again._requires_grad

    def accumulate(self, gradient: Any, owned: bool) -> None:
        """Add to `.grad`: an array, or in a differentiable backward a tensor.

        `owned` says that nobody else holds the array, so that it need not be copied.
        """
        for hook in self._hooks or ():
            gradient, owned = _run_hook(hook, gradient), False
        if isinstance(gradient, Variable):
            self.grad = gradient if self.grad is None else self.grad + gradient
        elif self.grad is None:
            self.grad = wrap(backend.as_array(gradient if owned else gradient.copy()))
        elif self.grad.node is None:
            self.grad.array += gradient
            self.grad.changed_in_place()
        else:
            self.grad = self.grad + wrap(gradient)


_new = object.__new__
_tensor_type: type = Variable  # minigen.tensor puts Tensor here


def wrap(array: Any) -> Any:
    """A new tensor around `array` that needs no gradient."""
    t: Any = _new(_tensor_type)
    t.array = array
    t._requires_grad = False
    t.node = t.grad = t._version = t._view = t._hooks = None
    return t


# ------------------------------------------------------------------------- 2. what is recorded


class Node:
    """One recorded operation: where its gradient goes, and what its rules need for it.

    An edge is (rule, parent, values): the rule maps the cotangent and the saved values to the
    gradient of the parent, which is a Node or a leaf.  A joint rule has a list of parents, with
    None where no gradient is asked for.
    """

    __slots__ = (
        "age", "dtype", "edges", "guards", "hooks", "index", "inputs", "line", "operation", "shape",
    )  # fmt: skip

    operation: Operation
    age: int  # smaller for younger nodes
    shape: Any  # of the output, and so of its cotangent; a list if there are several
    dtype: Any
    edges: tuple | None
    guards: list | None  # (version, its count when it was saved, position of the argument)
    hooks: list | None
    index: int | None  # which of its only parent's outputs this node stands for
    inputs: tuple | None  # all arguments, for an operation that has a formula
    line: str | None  # the user's line, in detect_anomaly

    @property
    def name(self) -> str:
        return self.operation.backward_name

    @property
    def next_functions(self) -> tuple:
        """The nodes and leaves that this node hands gradients to, as PyTorch lists them."""
        return tuple((parent, 0) for parent in _parents(self))

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def guard(self, position: int, saved: Variable) -> Variable:
        """Remember the version of what is saved; returns it."""
        version = saved.version()
        if version is INFERENCE_VERSION:
            raise errors.saved_in_inference(self.operation.name, self.operation.slots[position])
        if self.guards is None:
            self.guards = []
        self.guards.append((version, version.count, position))
        return saved

    def check(self) -> None:
        """Raise RuntimeError if what was saved is gone, or was changed since."""
        name = self.operation.name
        if self.edges is None:
            raise errors.freed(name)
        for version, count, position in self.guards or ():
            if version.count != count:
                slot = self.operation.slots[position]
                raise errors.changed(name, slot, count, version.count, version.where)


_next_age = itertools.count(0, -1).__next__


def _node(operation: Operation, output: Any) -> Any:
    node = _new(Node)
    node.operation = operation
    node.age = _next_age()
    node.shape = output.shape
    node.dtype = output.dtype
    node.edges = ()
    node.guards = node.hooks = node.index = node.inputs = node.line = None
    return node


def _parents(node: Node) -> Iterable:
    for rule, parent, _ in node.edges or ():
        if rule is None or rule.single:
            yield parent
        else:
            yield from (p for p in parent if p is not None)


def _record(
    operation: Operation, args: tuple, arrays: Sequence, tracked: int, result: Any, extra: tuple
) -> None:
    """Leave a node behind the result, with what the rules of the tracked arguments ask for.

    `tracked` has bit i set where argument i needs a gradient.
    """
    plan = operation.plans.get(~tracked if extra else tracked)
    if plan is None:
        plan = operation.plan(tracked, extra != ())
    if not plan:
        return
    node = result.node = _node(operation, result.array)
    result._requires_grad = True
    for rule, position, wants in plan:
        if position >= 0:
            source = args[position]
            parent = source.node or source
        else:
            parent = [
                (s.node or s) if isinstance(s, Variable) and s._requires_grad else None
                for s in (args[operation.arity :] if operation.variadic else rule.among(args))
            ]
        values: tuple = ()
        for want in wants:
            if want < 0:
                value = arrays[~want].shape
            elif want < operation.arity:
                value = args[want]
                if isinstance(value, Variable):
                    node.guard(want, value)
                else:
                    value = arrays[want]  # promotion made an array of a number
            else:
                value = _made(node, want - len(operation.parameters), result, extra)
            values = (*values, value)
        node.edges = (*node.edges, (rule, parent, values))
    if operation.formula is not None:
        node.inputs = args
        for position, value in enumerate(args):
            if isinstance(value, Variable):
                node.guard(position, value)


def _made(node: Node, position: int, result: Any, extra: tuple) -> Any:
    """The output, saved without its node (no reference cycle), or what came with it."""
    if position:
        return extra[position - 1]
    saved = wrap(result.array)
    saved._version = result.version()
    return node.guard(len(node.operation.parameters), saved)


# ----------------------------------------------------------------------- 3. operations


def differentiable(forward: Callable | None = None, **options: Any) -> Any:
    """Make an operation on tensors out of `forward`, a function of arrays.

    Options: `promote`, `saves`, `view`, `many`, `flat`, as in `minigen.operation.Operation`.

    >>> import minigen
    >>> @differentiable
    ... def cube(input):
    ...     return input**3
    >>> cube.gradients(input=lambda g, input: 3 * g * input**2)
    >>> x = minigen.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """
    if forward is None:
        return functools.partial(differentiable, **options)
    operation = Operation(forward, **options)
    small = operation.promote is not None and operation.parameters == ["input", "other"]
    make = _binary if small else _general
    apply: Any = functools.wraps(forward)(make(operation, forward))
    apply.operation = operation
    apply.gradients = operation.gradients
    apply.joint_gradient = operation.joint_gradient
    apply.formula = operation.define_formula
    return apply


def _general(operation: Operation, compute: Callable) -> Callable:
    """The function that is called, for any operation."""
    arity, variadic, operands = operation.arity, operation.variadic, operation.operands
    promote, saves, many, view = operation.promote, operation.saves, operation.many, operation.view

    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs or (len(args) != arity and not variadic):
            args = operation.complete(args, kwargs)
        arrays: list = []
        tensors = False
        tracked, bit = 0, 1
        for value in args:
            if isinstance(value, Variable):
                tensors = True
                if value._view is not None and (transformed := value.refresh()):
                    return transformed(apply, args)
                if value._requires_grad:
                    tracked |= bit
                value = value.array
            arrays.append(value)
            bit += bit
        if not tensors:
            output = compute(*arrays)
            return output[0] if saves and output.__class__ is tuple else output
        extra: tuple = ()
        try:
            if promote is not None:
                arrays[:operands] = promote(arrays[:operands])
            output = compute(*arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise errors.explained(operation, args, error) from error
        if output.__class__ is not _ndarray:
            if many:
                return _wrap_many(operation, apply if view else None, args, arrays, tracked, output)
            if saves and output.__class__ is tuple:
                output, *rest = output
                extra = tuple(rest)
            output = backend.as_array(output)
        result = wrap(output)
        flags = mode.flags
        if tracked and flags & GRAD:
            _record(operation, args, arrays, tracked, result, extra)
        if view:
            _share(result, apply, args)
        if flags > GRAD:
            _observe(operation, flags, arrays, result)
        return result

    return apply


def _binary(operation: Operation, compute: Callable) -> Callable:
    """The same, unrolled for arithmetic on two operands: most calls, on the smallest arrays."""
    promote: Any = operation.promote
    special = promote is not dtypes.promote  # it may do more than find a common dtype
    numbers = {} if hasattr(promote, "tensors_only") else dtypes.NUMBERS

    def apply(input: Any, other: Any) -> Any:
        a, b, tracked = input, other, 0
        if isinstance(a, Variable):
            if a._view is not None and (transformed := a.refresh()):
                return transformed(apply, (a, b))
            if a._requires_grad:
                tracked = 1
            a = a.array
        elif not isinstance(b, Variable):
            return compute(a, b)
        known = None
        if b.__class__ is float and a.__class__ is _ndarray:
            known = numbers.get(a.dtype.num, {}).get(b)
        elif isinstance(b, Variable):
            if b._view is not None and (transformed := b.refresh()):
                return transformed(apply, (input, b))
            if b._requires_grad:
                tracked += 2
            b = b.array
        try:
            if known is not None:  # this number, as a 0-d array of a's dtype
                b = known
            elif (
                a.__class__ is not b.__class__
                or a.dtype is not b.dtype
                or (special and a.dtype.kind != "f")
            ):
                a, b = promote((a, b))
            output = compute(a, b)
        except (ValueError, TypeError, IndexError) as error:
            raise errors.explained(operation, (input, other), error) from error
        if output.__class__ is not _ndarray:
            output = backend.as_array(output)
        result = wrap(output)
        flags = mode.flags
        if tracked and flags & GRAD:
            _record(operation, (input, other), (a, b), tracked, result, ())
        if flags > GRAD:
            _observe(operation, flags, (a, b), result)
        return result

    return apply


_ndarray = type(backend.as_array(0.0))


def _wrap_many(
    operation: Operation, view: Any, args: tuple, arrays: list, tracked: int, outputs: Any
) -> tuple:
    """Wrap several outputs: the node of each only says which output of a common node it is."""
    results = [wrap(array) for array in outputs]
    if tracked and mode.flags & GRAD and results:
        _record(operation, args, arrays, tracked, results[0], ())
        common = results[0].node
        common.shape = [array.shape for array in outputs]
        for index, result in enumerate(results):
            result.node = _node(operation, result.array)
            result.node.index, result.node.edges = index, ((None, common, ()),)
            result._requires_grad = True
    for index, result in enumerate(results):
        if view:
            _share(result, functools.partial(lambda i, *args: view(*args)[i], index), args)
        if mode.flags > GRAD:
            _observe(operation, mode.flags, arrays, result)
    return tuple(results)


def _share(result: Variable, operation: Callable, args: tuple) -> None:
    """Make `result` a view of its first argument, unless its array turned out to be a copy."""
    base = args[0]
    if isinstance(base, Variable) and backend.owner(result.array) is backend.owner(base.array):
        result._version = base.version()
        result._view = View(operation, base, args[1:])


def _observe(operation: Operation, flags: int, arrays: Iterable, result: Variable) -> None:
    """What inference_mode and detect_anomaly do to a new result."""
    if flags & INFERENCE:
        result._version = INFERENCE_VERSION
    if flags & ANOMALY:
        errors.check_finite(operation.name, arrays, result.array)
        if result.node is not None:
            result.node.line = errors.caller()


@differentiable
def identity(input: Any) -> Any:
    """The same values at another place in the graph."""
    return input


identity.gradients(input=lambda g: g)


# ------------------------------------------------------------------------- 4. walking back


class _Walk:
    """One pass from the roots back to the leaves, or to the targets if there are any.

    Cotangents are bare arrays; when a graph of the gradient is to be made (`create`) they are
    tensors, and the very same rules then record what they do.
    """

    def __init__(self, roots: dict, targets: Sequence | None, retain: bool, create: bool) -> None:
        self.retain, self.create = retain, create
        self.pending = roots  # Node or leaf -> the sum of the cotangents that reached it so far
        self.queue = sorted((r.age, r) for r in roots if r.__class__ is Node)  # youngest first
        self.shared = set(roots)  # leaves whose gradient's memory may belong to somebody else
        self.keys = None if targets is None else {t.node or t: t for t in targets}
        self.wanted = None if self.keys is None else _leading_to(self.keys, roots)
        self.found: dict = {}
        self.zeros: list = []  # parents that a rule sent None to: a gradient known to be zero

    def run(self) -> None:
        pending, queue, wanted, create = self.pending, self.queue, self.wanted, self.create
        while queue:
            node = heappop(queue)[1]
            g = pending.pop(node)
            if node.hooks:
                for hook in tuple(node.hooks):
                    g = _run_hook(hook, g)
            if wanted is not None:
                if node in self.keys:  # type: ignore[operator]
                    self.found[node] = g
                if not any(parent in wanted for parent in _parents(node)):
                    continue
            if node.index is not None:
                self.collect(node, g)
                continue
            guarded = node.guards is not None
            if guarded or node.edges is None:
                node.check()
            if create and node.operation.formula is not None:
                for parent, gradient in _through_formula(node, g):
                    self.deliver(node, None, parent, gradient, g)
                continue
            for rule, parent, values in node.edges:  # type: ignore[union-attr]
                if create:
                    values = _reconnect(node, rule, values)
                elif guarded:
                    values = [v.array if isinstance(v, Variable) else v for v in values]
                try:
                    gradient = rule.function(g, *values)
                except Exception as error:
                    raise errors.rule_failed(node.operation.name, rule.names, error) from error
                if rule.single:
                    self.deliver(node, rule, parent, gradient, g)
                else:
                    for each, part in zip(parent, gradient):
                        if each is not None:
                            self.deliver(node, rule, each, part, g)
            if guarded and not self.retain:
                node.edges = node.guards = node.inputs = None
        self.finish()

    def deliver(self, node: Node, rule: Rule | None, parent: Any, gradient: Any, g: Any) -> None:
        """Bring one gradient into its parent's shape and dtype, and add it to what is pending."""
        if gradient is None:
            self.zeros += [parent] if node.operation.flat else []
            return
        array = gradient.array if self.create else gradient
        inner = parent.__class__ is Node
        target = parent if inner else parent.array
        if not inner and (array is g or array.base is not None):
            self.shared.add(parent)
        if node.line is not None:
            errors.check_gradient(node.operation.name, node.line, g, gradient)
        if array.shape != target.shape or array.dtype is not target.dtype:
            gradient = _fit(gradient, target.shape, target.dtype, node, rule)
        known = self.pending.get(parent)
        if known is not None:
            self.pending[parent] = known + gradient
            self.shared.discard(parent)
            return
        self.pending[parent] = gradient
        if inner:
            heappush(self.queue, (parent.age, parent))

    def collect(self, node: Any, g: Any) -> None:
        """Note the cotangent of one of several outputs at their common node, in a list."""
        common, index = node.edges[0][1], node.index
        if common not in self.pending:
            heappush(self.queue, (common.age, common))
        known = self.pending.setdefault(common, [None] * len(common.shape))
        known[index] = g if known[index] is None else known[index] + g

    def finish(self) -> None:
        """What is still pending belongs to the leaves; to those that only zeros reach, zeros."""
        seen = set(self.pending)
        while self.zeros:
            parent = self.zeros.pop()
            if parent not in seen:
                seen.add(parent)
                inner = parent.__class__ is Node
                tensor = (self.keys or {}).get(parent) if inner else parent
                if inner:
                    self.zeros.extend(_parents(parent))
                if tensor is not None and parent not in self.found:
                    zeros = backend.zeros_like(tensor.array)
                    into = self.found if inner else self.pending
                    into[parent] = wrap(zeros) if self.create else zeros
        for leaf, gradient in self.pending.items():
            if self.keys is None:
                leaf.accumulate(gradient, owned=leaf not in self.shared)
            elif leaf in self.keys:
                for hook in leaf._hooks or ():
                    gradient = _run_hook(hook, gradient)
                self.found[leaf] = gradient


def _leading_to(keys: Iterable, roots: Iterable) -> set:
    """The keys, and every node between the roots and one of them."""
    seen = {root for root in roots if root.__class__ is Node}
    stack = list(seen)
    while stack:
        for parent in _parents(stack.pop()):
            if parent.__class__ is Node and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    wanted = set(keys)
    for node in sorted(seen, key=attrgetter("age"), reverse=True):  # oldest first
        if any(parent in wanted for parent in _parents(node)):
            wanted.add(node)
    return wanted


def _fit(gradient: Any, shape: tuple, dtype: Any, node: Node, rule: Rule | None) -> Any:
    """Undo broadcasting and promotion: sum over the axes that were stretched, cast back."""
    given = tuple(gradient.shape)
    if given != shape:
        lead = len(given) - len(shape)
        stretched = [i + lead for i, n in enumerate(shape) if n == 1 and given[i + lead] != 1]
        fits = lead >= 0 and all(
            n == given[i + lead] or i + lead in stretched for i, n in enumerate(shape)
        )
        if not fits:
            names = rule.names if rule else ("its formula",)
            raise errors.rule_shape(node.operation.name, names, given, shape)
        gradient = gradient.sum((*range(lead), *stretched)).reshape(shape)
    return backend.cast(gradient, dtype)


def _reconnect(node: Node, rule: Rule, values: Sequence) -> Sequence:
    """The saved values as the rule's own differentiation needs them: the output with its node."""
    if rule.output < 0:
        return values
    connected = list(values)
    output = connected[rule.output] = wrap(values[rule.output].array)
    output.node, output._requires_grad = node, True
    output._version = values[rule.output]._version
    return connected


def _through_formula(node: Any, g: Any) -> Iterable:
    """(parent, gradient) pairs of an operation whose rules are not differentiable."""
    sources = [v for v in node.inputs if isinstance(v, Variable) and v._requires_grad]
    aliases = {id(v): identity(v) for v in sources}
    output = node.operation.formula(*(aliases.get(id(v), v) for v in node.inputs))
    targets = list(aliases.values())
    gradients = grad(output, targets, g, create_graph=True, allow_unused=True)
    return [(a.node.edges[0][1], d) for a, d in zip(targets, gradients) if d is not None]


def _run_hook(hook: Callable, gradient: Any) -> Any:
    bare = not isinstance(gradient, Variable)
    replaced = hook(wrap(backend.as_array(gradient)) if bare else gradient)
    return gradient if replaced is None else replaced.array if bare else replaced


def _tensors(values: Any) -> tuple:
    return (values,) if isinstance(values, Variable) else tuple(values)


def _start(
    outputs: Sequence[Variable], cotangents: Any, targets: Any, retain: bool, create: bool
) -> dict:
    """Check the roots, fill in the cotangent of single numbers, walk."""
    given = (None,) * len(outputs) if cotangents is None else _tensors(cotangents)
    if len(given) != len(outputs):
        raise RuntimeError(f"backward: {len(outputs)} outputs, but {len(given)} gradients")
    roots: dict = {}
    for output, cotangent in zip(outputs, given):
        shape = output.array.shape
        if not output._requires_grad:
            raise RuntimeError(errors.NOT_RECORDED)
        if cotangent is None:
            if output.array.size != 1:
                raise errors.needs_cotangent(shape)
            cotangent = wrap(backend.ones_like(output.array))
        elif cotangent.array.shape != shape:
            raise errors.rule_shape("backward", ("gradient",), cotangent.array.shape, shape)
        root, value = output.node or output, cotangent if create else cotangent.array
        roots[root] = roots[root] + value if root in roots else value
    walk = _Walk(roots, targets, retain, create)
    with enable_grad() if create else no_grad(), backend.quiet():
        walk.run()
    return walk.found


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add to `.grad` of every leaf (or of `inputs` only) the gradient of the sum of `tensors`.

    grad_tensors: a cotangent for each tensor, of its shape; may be left out for single numbers.
    create_graph: make the gradients differentiable in turn.
    Raises RuntimeError if nothing was recorded, the graph was freed, or a saved value was changed.
    """
    retain = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _tensors(inputs)
    found = _start(_tensors(tensors), grad_tensors, targets, retain, create_graph)
    for target in targets or ():
        if (target.node or target) in found:
            hooks, target._hooks = target._hooks, None  # they ran during the walk
            target.accumulate(found[target.node or target], owned=False)
            target._hooks = hooks


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of the sum of `outputs` with respect to each of `inputs`, as a tuple.

    Nothing is added to any `.grad`.  Raises RuntimeError as `backward` does, and for an input that
    the outputs do not depend on unless `allow_unused` (gives None) or `materialize_grads` (zeros).

    >>> import minigen
    >>> x = minigen.tensor(3.0, requires_grad=True)
    >>> (slope,) = grad(x**3, x, create_graph=True)
    >>> grad(slope, x)
    (tensor(18.),)
    """
    retain = create_graph if retain_graph is None else retain_graph
    targets = _tensors(inputs)
    if not all(target._requires_grad for target in targets):
        raise RuntimeError("grad: one of the inputs does not require grad")
    found = _start(_tensors(outputs), grad_outputs, targets, retain, create_graph)
    results = []
    for target in targets:
        gradient = found.get(target.node or target)
        if gradient is None and materialize_grads:
            gradient = backend.zeros_like(target.array)
        elif gradient is None and not allow_unused:
            raise RuntimeError(errors.UNUSED)
        if gradient is not None and not isinstance(gradient, Variable):
            gradient = wrap(backend.as_array(gradient))
        results.append(gradient)
    return tuple(results)
