"""What a chapter says that a benchmark has measured, the benchmark has measured."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from minigen.chapters.lesson import claim

ROOT = Path(__file__).parents[2]


def test_the_vae_chapter_quotes_its_recipe_correctly() -> None:
    record = json.loads((ROOT / "benchmarks/results/quality_vae.json").read_text(encoding="utf-8"))
    tree = ast.parse((ROOT / "tutorials/09_vae.py").read_text(encoding="utf-8"))
    quoted = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    claim(str(quoted["RECIPE"]), record["mean"]["minigen"]["test_loss"])
