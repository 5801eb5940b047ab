"""The rules of the house: the way imports point, what `__init__` may hold, docstrings that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import linecache
import pkgutil
import re
from pathlib import Path

import pytest

import minigen

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minigen"

# Arrows point down this list only; a name stands for its file or folder.
LAYERS = [
    ["cli"],
    ["chapters"],
    ["classroom"],
    ["models", "training"],  # a recipe builds its model; a model never trains itself
    ["metrics"],
    ["viz"],
    ["func", "utils"],
    ["data"],
    ["testing"],
    ["optim"],
    ["distributions"],
    ["nn"],
    ["serialization"],
    ["nested"],
    ["transforms"],
    ["function", "linalg"],
    ["recording"],
    ["ops"],
    ["tensor"],
    ["hooks", "methods", "printing", "size"],
    ["autograd"],
    ["operation"],
    ["modes", "errors", "precision", "threads"],
    ["backend"],
    ["dispatch"],
    ["determinism"],
    ["cuda", "graphs", "limits", "memory"],
    ["devices", "dtypes", "random"],
    ["capturing"],
    ["kernels"],
    ["lazy", "version"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *(ROOT / "kernels").rglob("*.py")])


def imports(path: Path) -> list[tuple[str, int]]:
    """Absolute module names that a file imports, at the top and inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module or node.level, path
            if node.level == 0:
                found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
            else:
                assert PACKAGE not in path.parents, f"{path}:{node.lineno}: relative import"
                base = path.parent.relative_to(ROOT).parts
                assert node.level <= len(base), f"{path}:{node.lineno} leaves kernels/"
    return found


def part(module: str) -> str | None:
    """Which entry of LAYERS `minigen.x.y` belongs to; None for `minigen` itself."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[1] in RANK else None


def test_no_import_points_upward() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own in ("__init__", "py"):
            continue
        assert own in RANK, f"{own} has no place in the house: add it to LAYERS"
        for module, line in imports(path):
            if not module.startswith("minigen"):
                continue
            target = part(module)
            rank = RANK["ops"] if target is None else RANK[target]  # `import minigen` hands on ops
            if target != own and rank <= RANK[own] and target not in LAYERS[RANK[own]]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert wrong == []


def test_the_import_rule_can_fail(tmp_path: Path) -> None:
    """The detector sees an upward import, also one hidden in a function."""
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from minigen.cli import main\n")
    assert imports(file) == [("minigen.cli.main", 2)]
    assert RANK[part("minigen.cli.main")] < RANK["ops"]


def test_kernels_import_nothing_of_minigen() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        for module, line in imports(path):
            assert not module.startswith("minigen"), f"{path}:{line}"


def test_only_dispatch_reaches_into_kernels() -> None:
    """The command line may ask the registry what it chose; everything else goes through
    `dispatch`."""
    allowed = {"dispatch.py", "__init__.py"}
    for path in PACKAGE.rglob("*.py"):
        if path.name in allowed or "cli" in path.parts:
            continue
        for module, line in imports(path):
            assert not module.startswith("minigen.kernels"), f"{path}:{line}"


def test_torch_is_never_imported() -> None:
    for path in sources():
        for module, line in imports(path):
            assert module.split(".")[0] not in ("torch", "autograd", "scipy"), f"{path}:{line}"


def test_an_init_only_hands_names_on() -> None:
    for path in sources():
        if path.name == "__init__.py":
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                assert not isinstance(node, ast.FunctionDef | ast.ClassDef), f"{path}:{node.lineno}"


def modules() -> list[str]:
    names = [m.name for m in pkgutil.walk_packages(minigen.__path__, "minigen.")]
    kernels = importlib.import_module("minigen.kernels")
    names += [m.name for m in pkgutil.walk_packages(kernels.__path__, "minigen.kernels.")]
    return sorted({"minigen", "minigen.kernels", *names})


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_run(name: str) -> None:
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert result.failed == 0


def test_there_are_docstring_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(
        len(test.examples)
        for name in modules()
        for test in finder.find(importlib.import_module(name))
    )
    assert examples > 200


def test_the_tour_of_the_source_is_true(capsys: pytest.CaptureFixture) -> None:
    page = (ROOT / "tutorials/README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 15
    for link in links:
        assert (ROOT / "tutorials" / link).exists(), link
    for example in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(example, {})
    assert capsys.readouterr().out.startswith("tensor([")


def test_the_examples_of_the_readme_run(capsys: pytest.CaptureFixture) -> None:
    """All in one namespace, in order; what a comment says is printed must be printed."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    names: dict = {}
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", page, re.S)):
        file = f"<README, example {number}>"  # some read their own source
        lines = example.splitlines(keepends=True)
        linecache.cache[file] = (len(example), None, lines, file)
        exec(compile(example, file, "exec"), names)
        promised = re.findall(r"print\(.*\)\s+# (.+)", example)
        assert capsys.readouterr().out.splitlines() == promised
    assert names["loss"].item() < 0.3
