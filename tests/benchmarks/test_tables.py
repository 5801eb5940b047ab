"""benchmarks/README.md is what the generator makes of the recorded results, and nothing else."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import tables
import tables_kernels
import tables_quality

from minigen.training.recipes import RECIPES

NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


@pytest.fixture(scope="module")
def results() -> tables.Results:
    return tables.load()


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def keys(value: Any) -> Iterator[str]:
    """What results are filed under: the labels of cases, which name sizes."""
    for name, part in value.items() if isinstance(value, dict) else ():
        yield name
        yield from keys(part)


def unrecorded(text: str, results: tables.Results) -> list[str]:
    """The numbers in the tables' cells that no recorded result gives when rounded alike."""
    recorded = [x for x in leaves(results) if isinstance(x, int | float)]
    words = " ".join(str(x) for x in leaves(results) if isinstance(x, str))
    labels = set(keys(results))
    missing = []
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell for cell in line.split(" | ") if cell.strip("| `") not in labels]
        line = " | ".join(cells)
        for token in NUMBER.findall(re.sub(r"\b[12] threads?\b", "", line)):
            digits = len(token.partition(".")[2])
            plain = token.lstrip("+").replace(",", "")
            given = any(f"{x:.{digits}f}" == plain for x in recorded)
            if not given and token not in words:
                missing.append(token)
    return missing


def test_the_committed_page_is_what_the_generator_makes(results: tables.Results) -> None:
    assert tables.README.read_text(encoding="utf-8") == tables.page(results)


def test_the_front_page_shows_what_the_generator_makes(results: tables.Results) -> None:
    text = tables.FRONT.read_text(encoding="utf-8")
    assert text == tables.front_page(text, results)
    assert unrecorded(tables.headline(results), results) == []


def test_every_number_of_a_table_is_recorded(results: tables.Results) -> None:
    assert unrecorded(tables.page(results), results) == []


def test_a_number_nobody_measured_is_found(results: tables.Results) -> None:
    text = tables.page(results)
    ratio = f"{results['steps']['threads']['1']['vae']['minigen']['ratio']:.2f}"
    assert unrecorded(text.replace(f"| {ratio} |", "| 0.987654321 |"), results) == [
        "0.987654321"
    ] * (text.count(f"| {ratio} |"))
    assert ratio in text


@pytest.mark.parametrize(
    "path",
    [
        ("overhead", "chain", "minigen", "ratio"),
        ("steps", "threads", "2", "gpt", "minigen", "ratio"),
        ("steps", "threads", "1", "gan", "torch usual", "ratio"),
        ("quality_vae", "mean", "torch", "test_loss"),
        ("quality_vae", "difference", "test_loss"),
        ("quality_gan", "yardsticks", "frechet_floor"),
        ("quality_gpt", "yardsticks", "ngram_loss"),
    ],
)
def test_the_page_follows_the_files(results: tables.Results, path: tuple[str, ...]) -> None:
    changed = copy.deepcopy(results)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += 7.0
    assert tables.page(changed) != tables.page(results)


def test_means_and_differences_are_those_of_the_seeds(results: tables.Results) -> None:
    for model in ("vae", "gan", "gpt"):
        result = results[f"quality_{model}"]
        runs = result["runs"]
        assert [r["seed"] for r in runs["minigen"]] == [r["seed"] for r in runs["torch"]]
        for metric in result["difference"]:
            means = {e: sum(r[metric] for r in runs[e]) / len(runs[e]) for e in runs}
            for engine, mean in means.items():
                assert result["mean"][engine][metric] == pytest.approx(mean, rel=1e-12)
            gap = means["minigen"] - means["torch"]
            assert result["difference"][metric] == pytest.approx(gap, abs=1e-9)


def test_a_missing_result_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"overhead\.json"):
        tables.load(tmp_path)


def test_what_the_reports_compare_with_is_recorded(results: tables.Results) -> None:
    recorded = results | results["others"]
    compared = [
        (name, figure)
        for name, recipe in RECIPES.items()
        for figure in recipe.figures
        if figure.torch is not None
    ]
    assert len(compared) >= 3
    for name, figure in compared:
        mean = recorded[f"quality_{name}"]["mean"]["torch"][figure.key]
        assert round(mean, figure.digits) == figure.torch, (name, figure.key)


def test_the_kernels_files_say_what_was_measured(results: tables.Results) -> None:
    found = dict(tables_kernels.documents(results["ladders"]["threads"]))
    assert len(found) > 8
    for path, text in found.items():
        assert path.read_text(encoding="utf-8") == text, path


def test_a_rungs_sentence_compares_it_with_the_one_before() -> None:
    cases = {"512x512x512": {"numpy": {"speed": 1.0}, "naive": {"speed": 0.01}}}
    cases["512x512x512"]["reordered"] = {"speed": 0.3}
    sentences = [tables_kernels.sentence("matmul", rung, cases) for rung in ("naive", "reordered")]
    assert sentences == [
        "Measured: 0.010 of NumPy's speed (512x512x512, float32, one thread).",
        "Measured: 30 times as fast as `naive` (512x512x512, float32, one thread).",
    ]


def test_an_idea_stands_beside_the_simpler_way() -> None:
    def measured(model: str, *values: float) -> dict[str, Any]:
        runs = [{"seed": seed, "diversity": value} for seed, value in enumerate(values)]
        return {
            "model": model,
            "runs": {"minigen": runs},
            "mean": {"minigen": {"diversity": sum(values) / len(values)}},
        }

    results = {
        "quality_conditional_gan": measured("conditional_gan", 0.25, 0.5),
        "quality_conditional_gan-mode_seeking-0.2": measured("conditional_gan", 0.5, 1.0),
        "quality_iwae": {"model": "iwae"},  # without its k = 1: no row
    }
    text = tables_quality.claims(results)
    assert "more is better | 0.750 (0.500, 1.000) | 0.375 (0.250, 0.500) |" in text
    assert "IWAE" not in text
    assert tables_quality.claims({}) == ""


def test_every_claim_names_a_figure_of_its_recipe() -> None:
    for claim in tables_quality.CLAIMS:
        figures = RECIPES[claim.idea.partition("-")[0]].figures
        assert claim.metric in [figure.key for figure in figures], claim
