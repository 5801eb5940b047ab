"""A kernel's source, rewritten so that one call runs many threads: masks instead of branches.

    for k in range(n):              for k in _s.turns(n):
        if k > i:                       _1 = _s.branch(k > i)
            continue                    if _s.then(_1):
                                            _s.skip()
                                        if _s.otherwise(_1):
                                            pass
                                        _s.join(_1)
        total += a[k]                   if _s.some:
                                            total = _s.keep(total, total + _s.load(a, k))

`_s` is a `Lanes`. `cuda.syncthreads()` becomes a `yield`, so that warps can wait for each other.
Float literals become float64 numbers, which they are for Numba. Every statement first tells `_s`
its line in the kernel's file.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .lanes import UNSET
from .report import SimulationError
from .standins import BUILTINS, NumbaNames, number_type

LEAVING = (ast.Return, ast.Break, ast.Continue)
INDENT = "    "


class Rewritten:
    """A kernel, or a function that it calls, for vectors of threads.

    run: the function, with a `Lanes` before its arguments; a generator function if `waits`, which
    yields the line of each barrier. parameters: the names of its arguments.
    """

    run: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], known: dict[Any, Rewritten]) -> None:
        known[function] = self
        self.name = function.__name__
        self.file = inspect.getsourcefile(function) or ""
        definition, first = _definition(function)
        self.parameters = [argument.arg for argument in definition.args.args]
        self.outside = outside = _outside(function)
        functions = {
            name: known[python] if python in known else Rewritten(python, known)
            for name, python in ((name, _python(value)) for name, value in outside.items())
            if python is not None
        }
        source = _Source(definition, first, functions)
        self.text = source.text()
        self.waits = source.waits
        scope = {name: _stand_in(value) for name, value in outside.items()}
        scope |= {name: function.run for name, function in functions.items()}
        scope |= {**BUILTINS, "_unset": UNSET, "_float": np.float64}
        where = f"<{self.name}, rewritten>"
        exec(compile(self.text, where, "exec"), scope)
        linecache.cache[where] = (len(self.text), None, self.text.splitlines(True), where)
        self.run = scope[self.name]


_rewritten: WeakKeyDictionary[Callable[..., Any], Rewritten] = WeakKeyDictionary()


def rewritten(function: Callable[..., Any]) -> Rewritten:
    """The function rewritten; the same as last time, unless a global that it uses has changed."""
    known = _rewritten.get(function)
    if known is not None:
        now = _outside(function)
        if all(now.get(name) is value for name, value in known.outside.items()):
            return known
    _rewritten[function] = Rewritten(function, {})
    return _rewritten[function]


def _outside(function: Callable[..., Any]) -> dict[str, Any]:
    """The globals and the variables of enclosing functions that a function uses."""
    names = inspect.getclosurevars(function)
    return {**names.globals, **names.nonlocals}


def _definition(function: Callable[..., Any]) -> tuple[ast.FunctionDef, int]:
    """The function's syntax tree, and what to add to its line numbers."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise SimulationError(
            f"the source of {function.__name__} is not to be found: write it in a file"
        ) from error
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise SimulationError(f"{function.__name__} is no plain function")
    return tree, max(first, 1) - 1


def _python(value: Any) -> Callable[..., Any] | None:
    """The Python function behind a device function, None if the value is no such thing."""
    value = getattr(value, "py_func", value)
    return value if inspect.isfunction(value) and "numba" not in value.__module__ else None


def _stand_in(value: Any) -> Any:
    if isinstance(value, ModuleType) and value.__name__ == "math":
        return BUILTINS["math"]
    if isinstance(value, ModuleType) and value.__name__.split(".")[0] in ("numba", "numba_cuda"):
        return NumbaNames()
    return number_type(value) or value


class _Source:
    """The text of one rewritten function."""

    def __init__(
        self, definition: ast.FunctionDef, first: int, functions: dict[str, Rewritten]
    ) -> None:
        self._definition, self._first = definition, first
        self._expressions = _Expressions(self, functions)
        self._temporaries = 0
        self.waits = False
        assigned = {
            node.id
            for node in ast.walk(definition)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._variables = sorted(assigned)
        self._names = {
            self.line_of(node): node.targets[0].id
            for node in ast.walk(definition)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        self._counters = {name for name in assigned if _only_counts(definition, name)}

    def text(self) -> str:
        """The whole function."""
        arguments = ", ".join(argument.arg for argument in self._definition.args.args)
        body = list(self._suite(self._definition.body))
        lines = [f"def {self._definition.name}(_s, {arguments}):", f"{INDENT}_s.enter()"]
        lines.append(f"{INDENT}cuda = _s.cuda")
        lines += [f"{INDENT}{name} = _unset" for name in self._variables if name != "cuda"]
        lines += [INDENT + line for line in body]
        lines.append(f"{INDENT}return _s.leave()")
        return "\n".join(lines) + "\n"

    def line_of(self, node: Any) -> int:
        """The line in the kernel's file."""
        return node.lineno + self._first

    def refuse(self, node: Any, why: str) -> SimulationError:
        """An error about this piece of source."""
        return SimulationError(
            f"{self._definition.name}, line {self.line_of(node)}: {why}: {ast.unparse(node)!r}"
        )

    def name_of(self, node: ast.Call) -> str:
        """What the array that this call makes is called: `name = cuda.shared.array(...)`."""
        return self._names.get(self.line_of(node), "array")

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"_{self._temporaries}"

    def _value(self, node: ast.expr) -> str:
        return self._expressions.text(node)

    def _suite(self, statements: list[ast.stmt]) -> Iterator[str]:
        """Statements; what follows one that lanes may leave is for those that stayed."""
        for number, statement in enumerate(statements):
            yield f"_s.line = {self.line_of(statement)}"
            yield from self._statement(statement)
            rest = statements[number + 1 :]
            if rest and any(isinstance(node, LEAVING) for node in ast.walk(statement)):
                yield "if _s.some:"
                yield from self._block(rest)
                return

    def _block(self, statements: list[ast.stmt]) -> Iterator[str]:
        lines = list(self._suite(statements)) or ["pass"]
        return (INDENT + line for line in lines)

    def _statement(self, node: ast.stmt) -> Iterator[str]:
        match node:
            case ast.Assign(targets=[target], value=value):
                yield from self._assign(target, self._value(value))
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from self._assign(target, self._value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                load = ast.parse(ast.unparse(target), mode="eval").body
                ast.copy_location(load, target)
                total = ast.BinOp(load, op, value)
                yield from self._assign(target, self._value(ast.copy_location(total, node)))
            case ast.If(test=test, body=body, orelse=orelse):
                yield from self._if(test, body, orelse)
            case ast.For():
                yield from self._for(node)
            case ast.While(test=test, body=body, orelse=[]):
                loop = self._temporary()
                yield f"{loop} = _s.repeat()"
                yield f"while _s.again({loop}) and _s.holds({loop}, {self._value(test)}):"
                yield from self._block(body)
            case ast.Return(value=value):
                yield f"_s.give({self._value(value) if value else ''})"
            case ast.Break():
                yield "_s.break_off()"
            case ast.Continue():
                yield "_s.skip()"
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                yield "pass"
            case ast.Expr(value=value) if _is_call(value, "cuda", "syncthreads"):
                self.waits = True
                yield "yield _s.barrier()"
            case ast.Expr(value=value):
                yield self._value(value)
            case _:
                raise self.refuse(node, "the simulator does not know this statement")

    def _assign(self, target: ast.expr, value: str) -> Iterator[str]:
        match target:
            case ast.Name(id=name):
                yield f"{name} = _s.keep({name}, {value})"
            case ast.Subscript(value=array, slice=index):
                yield f"{self._value(array)}.store(_s, {self._value(index)}, {value})"
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                whole = self._temporary()
                yield f"{whole} = {value}"
                for number, part in enumerate(parts):
                    yield from self._assign(part, f"{whole}[{number}]")
            case _:
                raise self.refuse(target, "the simulator cannot assign to this")

    def _if(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> Iterator[str]:
        branch = self._temporary()
        yield f"{branch} = _s.branch({self._value(test)})"
        yield f"if _s.then({branch}):"
        yield from self._block(body)
        if orelse:
            yield f"if _s.otherwise({branch}):"
            yield from self._block(orelse)
        yield f"_s.join({branch})"

    def _for(self, node: ast.For) -> Iterator[str]:
        if not (_is_call(node.iter, "range") and isinstance(node.target, ast.Name)) or node.orelse:
            raise self.refuse(node, "a loop must be `for name in range(...)`, without else")
        assert isinstance(node.iter, ast.Call)
        bounds = ", ".join(map(self._value, node.iter.args))
        name = node.target.id
        if name in self._counters:
            yield f"for {name} in _s.turns({bounds}):"
        else:
            turn = self._temporary()
            yield f"for {turn} in _s.turns({bounds}):"
            yield f"{INDENT}{name} = _s.keep({name}, {turn})"
        yield from self._block(node.body)


class _Expressions(ast.NodeTransformer):
    """Expressions, with vectors in mind."""

    def __init__(self, source: _Source, functions: dict[str, Rewritten]) -> None:
        self._source, self._functions = source, functions
        self._deferred = 0  # inside a part that some lanes may skip

    def text(self, node: ast.expr) -> str:
        """The rewritten expression."""
        tree = ast.parse(ast.unparse(node), mode="eval").body  # a copy to change
        for part in ast.walk(tree):
            part.lineno = part.end_lineno = node.lineno  # type: ignore[attr-defined]
        return ast.unparse(self.visit(tree))

    def _later(self, node: ast.expr) -> ast.Lambda:
        self._deferred += 1
        body = self.visit(node)
        self._deferred -= 1
        nothing = ast.arguments([], [], None, [], [], None, [])
        return ast.Lambda(nothing, body)

    def _call(self, name: str, *arguments: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(f"_s.{name}"), list(arguments), [])

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, float):
            return ast.Call(ast.Name("_float"), [node], [])
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        first, *others = node.values
        rest = others[0] if len(others) == 1 else ast.BoolOp(node.op, others)
        name = "both" if isinstance(node.op, ast.And) else "either"
        return self._call(name, self.visit(first), self._later(rest))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            return self._call("invert", self.visit(node.operand))
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1:
            return self.generic_visit(node)  # type: ignore[return-value]
        sides = [node.left, *node.comparators]
        pairs: list[ast.expr] = [
            ast.Compare(left, [op], [right]) for left, op, right in zip(sides, node.ops, sides[1:])
        ]
        return self.visit(ast.BoolOp(ast.And(), pairs))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        yes, no = self._later(node.body), self._later(node.orelse)
        return self._call("choose", self.visit(node.test), yes, no)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if any(isinstance(part, ast.Slice) for part in ast.walk(node.slice)):
            raise self._source.refuse(node, "kernels read one number at a time, no slices")
        return self._call("load", self.visit(node.value), self.visit(node.slice))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        text = ast.unparse(node.func)
        if text in ("cuda.shared.array", "cuda.local.array"):
            return self._array(node)
        called = self._functions.get(text)
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        if called is None:
            node.func = self.visit(node.func)
            return node
        node.args.insert(0, ast.Name("_s"))
        if not called.waits:
            return node
        if self._deferred:
            raise self._source.refuse(node, "a function with a barrier that some threads may skip")
        self._source.waits = True
        return ast.YieldFrom(node)

    def _array(self, node: ast.Call) -> ast.expr:
        """A shared array is the same in every thread: it is known by its place in the source."""
        site = f"{self._source.line_of(node)}:{ast.unparse(node)}"
        name = self._source.name_of(node)
        for key, value in (("_site", site + name), ("_name", name)):
            node.keywords.append(ast.keyword(key, ast.Constant(value)))
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        allowed = (
            ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Attribute, ast.Tuple, ast.operator,
            ast.unaryop, ast.cmpop, ast.expr_context,
        )  # fmt: skip
        if not isinstance(node, allowed):
            raise self._source.refuse(node, "the simulator does not know this expression")
        return super().generic_visit(node)


def _is_call(node: ast.AST, *path: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == ".".join(path)


def _only_counts(definition: ast.FunctionDef, name: str) -> bool:
    """Whether a variable is used nowhere but inside the loops that count with it: then its value
    in lanes that sit a loop out does not matter, and all lanes can share one number."""
    inside: set[int] = set()
    for loop in ast.walk(definition):
        if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name):
            if loop.target.id != name:
                continue
            inside.add(id(loop.target))
            body = [node for part in loop.body for node in ast.walk(part)]
            inside |= {id(n) for n in body if isinstance(n, ast.Name) and not _stores(n)}
    uses = [n for n in ast.walk(definition) if isinstance(n, ast.Name) and n.id == name]
    return all(id(use) in inside for use in uses)


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)
