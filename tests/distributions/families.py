"""The families that the tests go through, as expressions that hold in minigen and in torch.

Parameters are made of unconstrained x and y, and a value in the support of an unconstrained z.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

# name: (distribution, value, what else it offers)
SCALARS = {
    "Normal": ("Normal(x, y.exp())", "z", "cdf icdf mean mode variance stddev entropy perplexity"),
    "Laplace": ("Laplace(x, y.exp())", "z", "cdf icdf mean mode variance stddev entropy"),
    "Uniform": (
        "Uniform(x, x + y.exp())", "x + y.exp() * z.sigmoid()",
        "cdf icdf mean variance stddev entropy",
    ),
    "Exponential": (
        "Exponential(y.exp() + 0 * x)", "z.exp()", "cdf icdf mean mode variance stddev entropy",
    ),
    "LogNormal": (
        "LogNormal(x, y.exp())", "z.exp()", "cdf icdf mean mode variance stddev entropy",
    ),
    "Bernoulli of logits": (
        "Bernoulli(logits=x + y)", "(z > 0).to(z.dtype)", "mean mode variance entropy perplexity",
    ),
    "Bernoulli of probs": (
        "Bernoulli(probs=(x + y).sigmoid())", "(z > 0).to(z.dtype)",
        "mean mode variance stddev entropy",
    ),
    "RelaxedBernoulli": ("RelaxedBernoulli(y.exp().mean(), logits=x + 0 * y)", "z.sigmoid()", ""),
    "RelaxedBernoulli of probs": (
        "RelaxedBernoulli(y.exp().mean(), probs=(x + 0 * y).sigmoid())", "z.sigmoid()", "",
    ),
    "Independent of no dimension": (
        "Independent(m.distributions.Laplace(x, y.exp()), 0)", "z", "mean entropy",
    ),
    "TransformedDistribution": (
        "TransformedDistribution(m.distributions.Normal(x, 1.5),"
        " [m.distributions.AffineTransform(0.5, y.exp()), m.distributions.SigmoidTransform()])",
        "z.sigmoid()", "cdf icdf",
    ),
}  # fmt: skip

# of vectors: x has the shape of the parameters, z of the value
VECTORS = {
    "Categorical of logits": (
        "Categorical(logits=x)", "z.argmax(-1)", "mode entropy perplexity",
    ),
    "Categorical of probs": ("Categorical(probs=x.exp())", "z.argmax(-1)", "mode entropy"),
    "OneHotCategorical": (
        "OneHotCategorical(logits=x)",
        "m.nn.functional.one_hot(z.argmax(-1), z.shape[-1]).to(z.dtype)",
        "mean mode variance entropy",
    ),
    "RelaxedOneHotCategorical": (
        "RelaxedOneHotCategorical(x.exp().mean(), logits=x)", "z.softmax(-1)", "",
    ),
    "RelaxedOneHotCategorical of probs": (
        "RelaxedOneHotCategorical(x.exp().mean(), probs=x.exp())", "z.softmax(-1)", "",
    ),
    "Independent": (
        "Independent(m.distributions.Normal(x, (0.3 * x).exp()), 1)", "z",
        "mean mode variance stddev entropy",
    ),
}  # fmt: skip
FAMILIES = SCALARS | VECTORS


def outputs(name: str) -> str:
    """All numbers that a family offers, as a list of expressions."""
    distribution, value, rest = FAMILIES[name]
    calls = {"cdf": f"cdf({value})", "icdf": "icdf(z.sigmoid())"}
    methods = {"entropy", "perplexity"}
    found = [f"log_prob({value})"]
    found += [calls.get(each, f"{each}()" if each in methods else each) for each in rest.split()]
    wholes = [f"d.{each}" for each in found]
    return f"[(lambda d: [{', '.join(wholes)}])(m.distributions.{distribution})][0]"


@st.composite
def scalar_inputs(draw: Any) -> list[np.ndarray]:
    """x, y, z of shapes that broadcast, size 0 included.

    All in [-1, 1]: far out, σ = exp(y) makes differences of floating-point numbers meaningless.
    """
    found = draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = found.input_shapes
    return [np.asarray(rng.uniform(-1, 1, shape)) for shape in shapes]


@st.composite
def vector_inputs(draw: Any) -> list[np.ndarray]:
    """x, unused y, and z of batch shapes that broadcast and a last dimension in common."""
    found = draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 4))
    x, z = (np.asarray(rng.uniform(-1, 1, (*shape, n))) for shape in found.input_shapes)
    return [x, np.zeros(()), z]


def inputs(name: str) -> Any:
    return scalar_inputs() if name in SCALARS else vector_inputs()
