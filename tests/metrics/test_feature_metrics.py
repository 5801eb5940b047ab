"""Distances of features against their published formulas, written anew and one pair at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen import Generator
from minigen.metrics import (
    density_coverage,
    frechet_by_size,
    frechet_distance,
    inception_score,
    inception_score_of_splits,
    kernel_inception_distance,
    polynomial_mmd2,
    precision_recall,
)
from minigen.metrics.kernel_distance import MeanAndSpread


def features(n: int, m: int, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((d, d))
    return rng.standard_normal((n, d)) @ spread, rng.standard_normal((m, d)) @ spread + 0.5


# ------------------------------------------------------------------------------- Fréchet distance


def frechet_by_root(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """The formula of FID programs, with SciPy's root of the product of the covariances."""
    c1, c2 = (np.cov(f, rowvar=False, ddof=ddof) for f in (a, b))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_frechet_distance_equals_the_formula_with_a_matrix_root(seed: int, d: int) -> None:
    """To 1e-6 of the features' variance: roots of nearly singular matrices keep half the digits."""
    a, b = features(80, 60, d, seed)
    near = 1e-6 * (1 + a.var(0).sum() + b.var(0).sum())
    found = frechet_distance(a, b)
    if d > 1:
        assert found == pytest.approx(frechet_by_root(a, b), abs=near)
    assert found == pytest.approx(frechet_distance(b, a), abs=near)
    assert abs(frechet_distance(a, a)) < near
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    assert frechet_distance(a @ turn + 7, b @ turn + 7) == pytest.approx(found, abs=near)


def test_population_covariance_would_be_noticed() -> None:
    a, b = features(80, 60)
    assert abs(frechet_by_root(a, b, ddof=0) / frechet_distance(a, b) - 1) > 1e-4


# ------------------------------------------------------------------------------- kernel distance


def mmd2_by_pairs(x: np.ndarray, y: np.ndarray, biased: bool = False) -> float:
    """Gretton et al. 2012, eq. 3 (or eq. 5 if biased), one pair of features after another."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    def within(z: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if biased or i != j]
        return sum(k(z[i], z[j]) for i, j in pairs) / len(pairs)

    return within(x) + within(y) - 2 * float(np.mean([[k(a, b) for b in y] for a in x]))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 12), (20, 9)])
def test_mmd2_equals_the_sum_over_pairs(n: int, m: int) -> None:
    x, y = features(n, m)
    assert polynomial_mmd2(x, y) == pytest.approx(mmd2_by_pairs(x, y), rel=1e-10)
    assert polynomial_mmd2(x, y) == pytest.approx(polynomial_mmd2(y, x), rel=1e-10)
    biased = mmd2_by_pairs(x, y, biased=True)
    assert abs(biased / polynomial_mmd2(x, y) - 1) > 1e-2, "a biased estimate would be noticed"


def test_mmd2_takes_every_kernel_of_its_family() -> None:
    x, y = features(30, 40, 3)
    linear = polynomial_mmd2(x, y, degree=1, gamma=1.0, coef0=0.0)
    means = ((x.mean(0) - y.mean(0)) ** 2).sum()  # the biased estimate, which counts the variances
    variances = x.var(0, ddof=1).sum() / 30 + y.var(0, ddof=1).sum() / 40
    assert linear == pytest.approx(means - variances, rel=1e-9)


def test_mmd2_does_not_depend_on_size_where_the_frechet_distance_does() -> None:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((2000, 16))
    sets = [[rng.standard_normal((n, 16)) for _ in range(30)] for n in (40, 400)]
    small, large = ([polynomial_mmd2(x, reference) for x in group] for group in sets)
    assert abs(np.mean(small)) < 3 * np.std(small) / np.sqrt(30)
    assert abs(np.mean(large)) < 3 * np.std(large) / np.sqrt(30)
    small, large = ([frechet_distance(x, reference) for x in group] for group in sets)
    assert np.mean(small) > 5 * np.mean(large)


def kid_of_torch_fidelity(x: np.ndarray, y: np.ndarray, subsets: int, size: int) -> MeanAndSpread:
    """Its order of drawing, so that the same seed gives the same figure."""
    source = np.random.RandomState(2020)
    found = []
    for _ in range(subsets):
        a = x[source.choice(len(x), size, replace=False)]
        b = y[source.choice(len(y), size, replace=False)]
        kxx, kyy, kxy = ((u @ v.T / u.shape[1] + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
        inside = kxx.sum() - np.trace(kxx) + kyy.sum() - np.trace(kyy)
        found.append(inside / (size * (size - 1)) - 2 * kxy.sum() / size**2)
    return MeanAndSpread(float(np.mean(found)), float(np.std(found)))


def test_kid_equals_torch_fidelity() -> None:
    x, y = features(150, 120, 8)
    expected = kid_of_torch_fidelity(x, y, subsets=10, size=50)
    source = np.random.RandomState(2020)
    found = kernel_inception_distance(x, y, subsets=10, subset_size=50, generator=source)
    assert found == pytest.approx(expected, rel=1e-10)


def test_kid_is_seeded() -> None:
    x, y = features(60, 60)

    def draw(seed: int) -> MeanAndSpread:
        source = Generator().manual_seed(seed)
        return kernel_inception_distance(x, y, subsets=5, subset_size=20, generator=source)

    assert draw(1) == draw(1) != draw(2)


# ------------------------------------------------------------------------------- Inception Score


def test_inception_score_of_splits_equals_torch_fidelity() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 47)
    order = np.random.RandomState(2020).permutation(47)
    scores = []
    for i in range(4):
        part = p[order][i * 47 // 4 : (i + 1) * 47 // 4]
        scores.append(np.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()))
    source = np.random.RandomState(2020)
    found = inception_score_of_splits(p, 4, generator=source)
    assert found == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-9)
    assert abs(found.mean - inception_score(p)) > 1e-3, "parts have lower scores than the whole"
    one = inception_score_of_splits(p, 1)
    assert one == pytest.approx((inception_score(p), 0), rel=1e-9)


def test_unshuffled_splits_of_sorted_classes_see_one_class_each() -> None:
    p = np.repeat(np.eye(4), 5, axis=0)
    assert inception_score_of_splits(p, 4, shuffle=False) == (1.0, 0.0)
    assert inception_score_of_splits(p, 1).mean == pytest.approx(4)


# ------------------------------------------------------------------------------- neighbours


def neighbour_figures(made: np.ndarray, real: np.ndarray, k: int, itself: bool = False) -> tuple:
    """Precision, recall, density and coverage, one distance at a time; `itself` plants the error
    of counting a point among its own neighbours."""

    def radius(points: np.ndarray, i: int) -> float:
        others = [j for j in range(len(points)) if itself or j != i]
        return sorted(np.linalg.norm(points[i] - points[j]) for j in others)[k - 1]

    r_real = [radius(real, i) for i in range(len(real))]
    r_made = [radius(made, j) for j in range(len(made))]
    d = np.array([[np.linalg.norm(x - y) for y in made] for x in real])  # (real, made)
    precision = np.mean(
        [any(d[i, j] <= r_real[i] for i in range(len(real))) for j in range(len(made))]
    )
    recall = np.mean(
        [any(d[i, j] <= r_made[j] for j in range(len(made))) for i in range(len(real))]
    )
    density = sum(d[i, j] < r_real[i] for i in range(len(real)) for j in range(len(made)))
    coverage = np.mean(
        [any(d[i, j] < r_real[i] for j in range(len(made))) for i in range(len(real))]
    )
    return precision, recall, density / (k * len(made)), coverage


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_equal_the_definitions(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigen.metrics.neighbours.BLOCK", 7)  # several blocks, the last not full
    made, real = features(30, 40, 2, seed=k)
    found = (
        *precision_recall(made, real, neighbours=k),
        *density_coverage(made, real, neighbours=k),
    )
    assert found == pytest.approx(neighbour_figures(made, real, k), abs=1e-12)
    wrong = neighbour_figures(made, real, k, itself=True)
    assert all(abs(a - b) > 1e-3 for a, b in zip(found, wrong)), "itself as a neighbour"
    swapped = precision_recall(real, made, neighbours=k)
    assert swapped == pytest.approx(found[1::-1]), "precision and recall change places"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5))
def test_neighbours_of_equal_sets_and_moved_ones(seed: int, d: int, k: int) -> None:
    made, real = features(25, 20, d, seed)
    assert precision_recall(real, real, neighbours=k) == (1, 1)
    assert density_coverage(real, real, neighbours=k) == (1, 1)
    far = made + 1e4
    assert precision_recall(far, real, neighbours=k) == (0, 0)
    assert density_coverage(far, real, neighbours=k) == (0, 0)
    moved = precision_recall(3 * made - 5, 3 * real - 5, neighbours=k)
    assert moved == precision_recall(made, real, neighbours=k)
    order = np.random.default_rng(seed).permutation(25)
    assert density_coverage(made[order], real, neighbours=k) == density_coverage(
        made, real, neighbours=k
    )


def test_a_generator_of_one_image() -> None:
    """Collapsed, it has balls of radius 0: perfect precision, no recall, almost no coverage."""
    _, real = features(1, 200, 4)
    collapsed = np.repeat(real[real.sum(1).argsort()[[100]]], 200, axis=0)
    assert precision_recall(collapsed, real) == (1, 1 / 200)
    assert density_coverage(collapsed, real).coverage < 0.1


def test_equal_points_are_at_distance_0_though_rounding_says_otherwise() -> None:
    real = 100 * np.random.default_rng(0).standard_normal((100, 64)) + 1000
    for point in real[:10]:
        collapsed = np.repeat(point[None], 20, axis=0)
        assert precision_recall(collapsed, real).recall == 1 / 100


def test_expected_density_and_coverage_of_equal_distributions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 1000, 64))
    density, coverage = density_coverage(x, y)
    assert density == pytest.approx(1, abs=0.2)
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.02)


# ------------------------------------------------------------------------------- by size


def test_frechet_by_size_falls_and_its_limit_is_nearer_than_any_figure() -> None:
    """Of two normal distributions whose distance is known: 4 for means apart by 2."""
    rng = np.random.default_rng(0)
    samples, reference = rng.standard_normal((3000, 10)), rng.standard_normal((100_000, 10))
    samples[:, 0] += 2 - samples[:, 0].mean() + reference[:, 0].mean()
    found = frechet_by_size(samples, reference, [800, 100, 200, 400], repeats=20, seed=3)
    assert found.sizes == (100, 200, 400, 800)
    assert list(found.means) == sorted(found.means, reverse=True)
    assert found.spreads[0] > found.spreads[-1] > 0
    off = [abs(mean - 4) for mean in found.means]
    assert abs(found.infinite - 4) < 0.5 * min(off)
    x, y = 1 / np.array(found.sizes), np.array(found.means)  # the line of least squares
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert found.infinite == pytest.approx(y.mean() - slope * x.mean(), rel=1e-9)
    assert "n = 100:" in str(found)
    assert str(found).endswith(f"n = ∞, extrapolated: {found.infinite:.1f}")


def test_frechet_by_size_is_seeded_and_whole_at_full_size() -> None:
    x, y = features(40, 50)
    one = frechet_by_size(x, y, [20, 40], repeats=3, seed=1)
    assert one == frechet_by_size(x, y, [20, 40], repeats=3, seed=1)
    assert one != frechet_by_size(x, y, [20, 40], repeats=3, seed=2)
    assert one.means[1] == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_by_size(x, y, [20, 40], repeats=1).spreads == (0, 0)


X, Y = features(20, 20, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: polynomial_mmd2(X, Y[:, :2]), "two sets"),
        (lambda: polynomial_mmd2(X, Y * np.nan), "NaN"),
        (lambda: polynomial_mmd2(X[:1], Y), "at least 2"),
        (lambda: kernel_inception_distance(X, Y), "subset_size=1000 for sets of 20 and 20"),
        (lambda: kernel_inception_distance(X, Y, subset_size=1), "2 or more"),
        (lambda: kernel_inception_distance(X, Y, subsets=0, subset_size=5), "at least one"),
        (lambda: precision_recall(X[:3], Y), "at least 4 rows"),
        (lambda: precision_recall(X, Y, neighbours=0), "1 or more"),
        (lambda: density_coverage(X, Y[:5]), "at least 6 rows"),
        (lambda: density_coverage(X, Y[0]), "two sets"),
        (lambda: density_coverage(np.zeros((9, 0)), np.zeros((9, 0))), "two sets"),
        (lambda: inception_score(np.full((3, 3), np.nan)), "distribution"),
        (lambda: inception_score_of_splits(np.eye(3), 4), "4 parts of 3 rows"),
        (lambda: frechet_by_size(X, Y, [10]), "two or more sizes"),
        (lambda: frechet_by_size(X, Y, [10, 21]), "from 2 to 20"),
        (lambda: frechet_by_size(X, Y, [1, 10]), "from 2 to 20"),
        (lambda: frechet_by_size(X, Y, [5, 10], repeats=0), "1 or more"),
    ],
)
def test_bad_features_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
