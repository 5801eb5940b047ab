import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.data import NGram, load_shakespeare


def witten_bell(train, symbols, order):
    """The definition, with dictionaries: p(character, context) of order len(context) or less."""
    after = defaultdict(Counter)
    for i, character in enumerate(train):
        for k in range(min(order, i) + 1):
            after[train[i - k : i]][character] += 1

    def p(character, context):
        if len(context) > order:
            return p(character, context[len(context) - order :])
        lower = p(character, context[1:]) if context else 1 / len(symbols)
        counts = after[context]
        n, t = counts.total(), len(counts)
        return (counts[character] + t * lower) / (n + t) if n else lower

    return p


small_texts = st.text("abc", min_size=5, max_size=60)


@given(small_texts, st.text("abcd", min_size=1, max_size=30), st.integers(0, 4))
def test_equals_the_definition(train, text, order):
    model, p = NGram.fit(train, order, symbols="abcd"), witten_bell(train, "abcd", order)
    expected = [p(c, text[:i]) for i, c in enumerate(text)]
    np.testing.assert_allclose(model.probabilities(text), expected, rtol=1e-12)
    assert model.nats_per_character(text) == pytest.approx(-np.log(expected).mean(), rel=1e-12)


@given(small_texts, st.text("abcd", max_size=8), st.integers(0, 4))
def test_next_character_is_a_distribution_and_the_same_one(train, context, order):
    model = NGram.fit(train, order, symbols="abcd")
    p = model.next_character(context)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    expected = [model.probabilities(context + c)[-1] for c in model.symbols]
    np.testing.assert_allclose(p, expected, rtol=1e-12)


# Order 4 is the best n-gram on this text; the higher ones have too little to count.
@pytest.mark.parametrize(
    ("order", "nats"), [(0, 3.374), (1, 2.583), (2, 2.234), (3, 2.015), (4, 1.963), (5, 2.022)]
)
def test_reference_values_of_the_plays(order, nats):
    text = load_shakespeare()
    start = len(text) * 9 // 10
    model = NGram.fit(text[:start], order, symbols=text)
    assert len(model.symbols) == 76
    assert model.order == order
    assert round(model.nats_per_character(text[start:]), 3) == nats


def test_a_text_without_surprise_costs_little():
    model = NGram.fit("ab" * 1000, 1)
    assert model.nats_per_character("ab" * 1000) < 0.01


def test_a_context_with_nothing_after_it_is_no_context():
    # "c" stands only at the end, so after it order 0 decides: a, b and c alike but for counts.
    model = NGram.fit("abababc", 2)
    np.testing.assert_allclose(
        model.next_character("c"), NGram.fit("abababc", 0).next_character("")
    )


def test_high_orders_do_not_overflow():
    text = load_shakespeare()[:20_000]
    model = NGram.fit(text, 30)  # 76 ** 31 has no 64-bit integer
    assert model.nats_per_character(text) < 0.2
    assert math.isfinite(model.nats_per_character(text[::-1]))


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="0 or more; got -1"):
        NGram.fit("abc", -1)
    with pytest.raises(ValueError, match="a text of 3 characters holds no 3 with one after them"):
        NGram.fit("abc", 3)
    with pytest.raises(ValueError, match="character 'c' at position 2 is not among the 2 symbols"):
        NGram.fit("abc", 1, symbols="ab")
    model = NGram.fit("abc", 1)
    with pytest.raises(ValueError, match="character 'd' at position 1"):
        model.nats_per_character("ad")
    with pytest.raises(ValueError, match="the text is empty"):
        model.nats_per_character("")
