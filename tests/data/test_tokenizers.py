import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.data import CharTokenizer, load_shakespeare

texts = st.text(st.characters(exclude_categories=()), min_size=1)  # lone surrogates included


@given(texts)
def test_decoding_gives_back_what_was_encoded(text):
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape == (len(text),)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text


@given(texts)
def test_ids_number_the_sorted_characters(text):
    tokenizer = CharTokenizer(text)
    assert list(tokenizer.symbols) == sorted(set(text))
    assert tokenizer.encode(tokenizer.symbols).tolist() == list(range(len(tokenizer)))
    assert tokenizer.encode(text).tolist() == [tokenizer.symbols.index(c) for c in text]


@given(texts)
def test_a_dictionary_that_went_through_json_gives_the_same_tokenizer(text):
    tokenizer = CharTokenizer(text)
    again = CharTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again == tokenizer
    assert hash(again) == hash(tokenizer)
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


@given(texts, texts)
def test_an_unknown_character_is_named_with_its_position(known, text):
    tokenizer = CharTokenizer(known)
    unknown = [i for i, c in enumerate(text) if c not in known]
    if not unknown:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        return
    position = unknown[0]
    with pytest.raises(
        ValueError, match=re.escape(f"character {text[position]!r} at position {position} is not")
    ):
        tokenizer.encode(text)


def test_the_plays_have_76_symbols():
    text = load_shakespeare()
    tokenizer = CharTokenizer(text)
    assert len(tokenizer) == 76
    ids = tokenizer.encode(text)
    assert (ids.min(), ids.max()) == (0, 75)
    assert tokenizer.decode(ids) == text


def test_nothing_encodes_to_nothing():
    tokenizer = CharTokenizer("ab")
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode(tokenizer.encode("")) == ""


@pytest.mark.parametrize("ids", [[0, 1, 2], [0, 1, -1]])
def test_an_id_outside_the_vocabulary_is_named_with_its_position(ids):
    with pytest.raises(IndexError, match=f"id {ids[2]} at position 2 is outside 0 to 1"):
        CharTokenizer("ab").decode(ids)


def test_what_is_no_sequence_of_ids_is_refused():
    tokenizer = CharTokenizer("ab")
    with pytest.raises(TypeError, match="ids are integers, got float64"):
        tokenizer.decode([0.0, 1.0])
    with pytest.raises(TypeError, match="ids are integers, got bool"):
        tokenizer.decode([True])
    with pytest.raises(ValueError, match=r"one sequence of ids, got shape \(1, 2\)"):
        tokenizer.decode([[0, 1]])
    with pytest.raises(ValueError, match=r"got shape \(\)"):
        tokenizer.decode(1)


def test_a_vocabulary_needs_characters():
    with pytest.raises(ValueError, match="the text is empty"):
        CharTokenizer("")
    with pytest.raises(TypeError, match="expects a string, got list"):
        CharTokenizer(["a"])


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"tokenizer": "bpe", "symbols": "ab"},
        {"tokenizer": "character"},
        {"tokenizer": "character", "symbols": ""},
        {"tokenizer": "character", "symbols": "ba"},
        {"tokenizer": "character", "symbols": "aab"},
        {"tokenizer": "character", "symbols": ["a", "b"]},
    ],
)
def test_a_description_that_would_renumber_characters_is_refused(saved):
    with pytest.raises(ValueError, match=r"CharTokenizer\.from_dict"):
        CharTokenizer.from_dict(saved)
