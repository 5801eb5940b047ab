"""GPT-2's tokenizer against the library `tokenizers`, on arbitrary Unicode, and its training
against algorithm 1 of the paper."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import naive_bpe
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from minigen.data import BytePairTokenizer, load_shakespeare
from minigen.data.tokenizers.bytelevel import count_words
from minigen.data.tokenizers.merging import merge_word
from minigen.data.tokenizers.words import byte_symbols, word_pattern

# All of Unicode but lone surrogates, and what is not assigned in this Python's Unicode: the
# reference has a newer one, in which it may be a letter.
characters = st.characters(exclude_categories=("Cs", "Cn"))
spaces = st.sampled_from("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u2003\u2028\u200b\u3000")
endings = st.sampled_from(["'s", "'ll", "'re", "'LL", "''", "_", "½", "Ⅷ", "٣", "e\u0301", "👩‍🚀"])
texts = st.lists(st.one_of(characters, characters, spaces, endings, st.sampled_from("ab A1"))).map(
    "".join
)
few = st.text("ab c\n", max_size=60)  # many equal counts, overlapping pairs

EXAMPLE = "HAMLET. To be,  or not\n\nto be: that's the question?!  "


@pytest.fixture(scope="module")
def tokenizer() -> BytePairTokenizer:
    text = load_shakespeare()[:60_000] + " naïve größer 我们 ½ Привет, мир! 你好"
    return BytePairTokenizer.train(text, 700, special=["<|endoftext|>", "<|end|>"])


@pytest.fixture(scope="module")
def reference(tokenizer: BytePairTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The other library, reading the files that minigen wrote."""
    folder = tmp_path_factory.mktemp("vocabulary")
    tokenizer.save(folder)
    model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    reference = Tokenizer(model)
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens(list(tokenizer.special))
    return reference


# --------------------------------------------------------------------------------- training


def naive(text: str, size: int, at_least: int) -> list[str]:
    symbols = byte_symbols()
    words = Counter(
        {
            "".join(symbols[byte] for byte in word.encode()): count
            for word, count in count_words([text]).items()
        }
    )
    return naive_bpe.learn(words, "".join(sorted(symbols)), size, at_least)


@settings(deadline=None, max_examples=200)
@given(few, st.integers(256, 280), st.integers(1, 3))
def test_training_learns_the_merges_of_algorithm_1(text: str, size: int, at_least: int) -> None:
    trained = BytePairTokenizer.train(text, size, at_least=at_least)
    assert trained.to_dict()["merges"] == naive(text, size, at_least)


def other_library(text: str, size: int, at_least: int) -> dict:
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=at_least,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    reference.train_from_iterator([text], trainer)
    return json.loads(reference.to_str())["model"]


@pytest.mark.parametrize("size", [400, 1000])
def test_training_on_a_play_equals_both_references(size: int) -> None:
    text = load_shakespeare()[200_000:230_000]
    ours = BytePairTokenizer.train(text, size).to_dict()
    assert len(ours["merges"]) == size - 256
    assert ours["merges"] == naive(text, size, 2)
    theirs = other_library(text, size, 2)
    assert ours["merges"] == [" ".join(pair) for pair in theirs["merges"]]
    assert ours["vocabulary"] == theirs["vocab"]


@settings(deadline=None, max_examples=50)
@given(few)
def test_training_on_little_text_equals_the_other_library(text: str) -> None:
    theirs = other_library(text, 270, 1)
    ours = BytePairTokenizer.train(text, 270, at_least=1)
    assert ours.to_dict()["merges"] == [" ".join(pair) for pair in theirs["merges"]]


def test_texts_may_come_in_parts() -> None:
    parts = ["to be", " or not", " to be"]
    assert BytePairTokenizer.train(iter(parts), 260) == BytePairTokenizer.train("".join(parts), 260)


def test_training_ends_when_nothing_is_left_to_merge() -> None:
    trained = BytePairTokenizer.train("aaaa", 300, at_least=1)
    assert trained.tokens[256:] == [b"aa", b"aaaa"]
    assert len(BytePairTokenizer.train("aaaa", 300, at_least=4)) == 256


def test_a_size_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="257 has no room for 256 bytes and 2 special"):
        BytePairTokenizer.train("", 257, special=["<a>", "<b>"])


# --------------------------------------------------------------------------------- words


def test_the_pattern_knows_all_letters_numbers_and_spaces() -> None:
    """Over every code point: what \\w and \\d are said to be in the pattern."""
    pattern = word_pattern()
    white = [
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if c.isspace() and c not in "\x1c\x1d\x1e\x1f"
    ]
    for c in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(c)[0]
        with_letter = [f"a{c}"] if category == "L" else ["a", c]
        with_number = [f"1{c}"] if category == "N" else ["1", c]
        assert pattern.findall("a" + c) == with_letter, hex(ord(c))
        assert pattern.findall("1" + c) == with_number, hex(ord(c))
    for c in white:
        assert pattern.findall(f"{c}{c}a") == ([c, " a"] if c == " " else [c, c, "a"]), hex(ord(c))


@settings(deadline=None)
@given(st.text(st.characters()))
def test_no_character_is_lost_between_words(text: str) -> None:
    assert "".join(word_pattern().findall(text)) == text


def test_byte_symbols_are_those_of_the_other_library() -> None:
    assert sorted(byte_symbols()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert len(set(byte_symbols())) == 256
    written = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(1, 0x500)))
    symbols = byte_symbols()
    assert written.pre_tokenize_str(text)[0][0] == "".join(symbols[b] for b in text.encode())


# --------------------------------------------------------------------------------- encoding


@settings(deadline=None, max_examples=400)
@given(texts)
@example(EXAMPLE)
@example("a \x1c b\x85 c_d")
@example("'s'S don't we'll'll")
@example("<|endoftext|><|end|>ofte<|endoftext |>xt|>")
def test_ids_are_those_of_the_other_library(
    tokenizer: BytePairTokenizer, reference: Tokenizer, text: str
) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64
    assert ids.tolist() == reference.encode(text).ids


@settings(deadline=None, max_examples=300)
@given(st.text(), st.booleans())
@example("<|endoftext|>", False)
def test_decoding_gives_back_what_was_encoded(
    tokenizer: BytePairTokenizer, text: str, allow_special: bool
) -> None:
    ids = tokenizer.encode(text, allow_special=allow_special)
    assert tokenizer.decode(ids) == text
    assert "".join(tokenizer.decode_stream(ids)) == text


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 699)))
def test_any_ids_decode_as_in_the_other_library(
    tokenizer: BytePairTokenizer, reference: Tokenizer, ids: list[int]
) -> None:
    text = tokenizer.decode(ids)
    assert text == reference.decode(ids, skip_special_tokens=False)
    assert "".join(tokenizer.decode_stream(ids)) == text


def test_special_tokens_are_recognised_only_if_allowed(tokenizer: BytePairTokenizer) -> None:
    end = tokenizer.special["<|endoftext|>"]
    assert tokenizer.encode("a<|endoftext|>b").tolist().count(end) == 1
    assert end not in tokenizer.encode("a<|endoftext|>b", allow_special=False)


def test_a_stream_holds_back_half_a_character(tokenizer: BytePairTokenizer) -> None:
    bytes_of = {bytes([b]): tokenizer.tokens.index(bytes([b])) for b in range(256)}
    ids = [bytes_of[bytes([b])] for b in "é🙂".encode()]
    assert list(tokenizer.decode_stream(ids)) == ["é", "🙂"]
    assert list(tokenizer.decode_stream(ids[:-1])) == ["é", "�"]
    assert list(tokenizer.decode_stream([ids[0], bytes_of[b"a"]])) == ["�a"]


@given(st.lists(st.integers(0, 2), max_size=30))
def test_merges_are_applied_lowest_rank_first(word: list[int]) -> None:
    """Against the sentence of the docstring, carried out to the letter."""
    merges = {(0, 1): (1, 3), (1, 0): (0, 4), (3, 3): (2, 5), (2, 2): (3, 6), (6, 6): (4, 7)}
    slow = list(word)
    while True:
        possible = [
            (merges[pair][0], place) for place, pair in enumerate(pairwise(slow)) if pair in merges
        ]
        if not possible:
            break
        _, place = min(possible)
        slow[place : place + 2] = [merges[slow[place], slow[place + 1]][1]]
    assert merge_word(word, merges) == slow


def test_a_word_of_a_million_bytes_is_no_trap() -> None:
    """Quadratic time would be hours."""
    trained = BytePairTokenizer.train("aaaaaaaa " * 3, 259)
    assert len(trained.encode("a" * 2**18)) == 2**18 // 8


def test_a_lone_surrogate_is_refused(tokenizer: BytePairTokenizer) -> None:
    with pytest.raises(ValueError, match=r"surrogate.*position 1"):
        tokenizer.encode("a\ud800")


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 700], IndexError, "id 700 at position 1 is outside 0 to 699"),
        ([-1], IndexError, "-1"),
        ([[1]], ValueError, r"\(1, 1\)"),
        ([0.5], TypeError, "float64"),
    ],
)
def test_decode_refuses(
    tokenizer: BytePairTokenizer, ids: list, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tokenizer.decode(ids)


# --------------------------------------------------------------------------------- files


def test_files_and_dictionaries_give_the_same_tokenizer(
    tokenizer: BytePairTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    again = BytePairTokenizer.load(tmp_path)
    assert again == tokenizer
    assert hash(again) == hash(tokenizer)
    assert again.special == {"<|endoftext|>": 256, "<|end|>": 257}
    assert again.encode(EXAMPLE).tolist() == tokenizer.encode(EXAMPLE).tolist()
    assert BytePairTokenizer.load(tmp_path / "vocab.json", tmp_path / "merges.txt") == tokenizer
    assert BytePairTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict()))) == tokenizer
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}


def test_the_files_of_the_other_library_are_read(tmp_path: Path) -> None:
    """Its special token has the first id, as in vocabularies of the RoBERTa kind."""
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    text = load_shakespeare()[:20_000]
    reference.train_from_iterator([text], trainer)
    reference.model.save(str(tmp_path))
    ours = BytePairTokenizer.load(tmp_path)
    assert ours.special == {"<s>": 0}
    assert ours.encode("<s>" + text).tolist() == reference.encode("<s>" + text).ids


BYTES = {symbol: id for id, symbol in enumerate(byte_symbols())}


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ("{", "", "vocab.json is no JSON"),
        ("[1]", "", "vocab.json is no object of ids by token"),
        ('{"a": "0"}', "", "vocab.json is no object"),
        ('{"a": true}', "", "vocab.json is no object"),
        ('{"a": 0, "b": 2}', "", "ids of 2 tokens are not 0 to 1"),
        ('{"a": 0, "b": 0}', "", "ids of 2 tokens are not 0 to 1"),
        ('{"a": 0}', "", "255 bytes have no token, the first is 0"),
        (json.dumps(BYTES), "a b", "'a b', merge 1, is not of two tokens"),
        (json.dumps({**BYTES, "ab": 256}), "a b\na", "'a', merge 2"),
        (json.dumps({**BYTES, "ab": 256}), "a b c", "'a b c', merge 1"),
        (json.dumps({**BYTES, "a€": 256, "€": 257}), "a €", "'a €', merge 1"),
    ],
)
def test_broken_files_are_named(vocabulary: str, merges: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(vocabulary)
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(ValueError, match=message):
        BytePairTokenizer.load(tmp_path)


def test_missing_files_and_binary_ones(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vocab\.json"):
        BytePairTokenizer.load(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(BYTES))
    (tmp_path / "merges.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"merges\.txt is no text"):
        BytePairTokenizer.load(tmp_path)


def test_other_dictionaries_are_refused() -> None:
    with pytest.raises(ValueError, match="byte pairs"):
        BytePairTokenizer.from_dict({"tokenizer": "character", "symbols": "ab"})
    with pytest.raises(ValueError, match="vocabulary is no object"):
        BytePairTokenizer.from_dict({"tokenizer": "byte pairs"})


def test_tokens_that_contradict_each_other_are_refused() -> None:
    tokens = [bytes([b]) for b in range(256)]
    with pytest.raises(ValueError, match="b'a' is there twice"):
        BytePairTokenizer([*tokens, b"a"], [])
    with pytest.raises(ValueError, match=re.escape("no token for the merge of b'a' and b'b'")):
        BytePairTokenizer(tokens, [(97, 98)])
    with pytest.raises(ValueError, match="no token of its own for special '<x>'"):
        BytePairTokenizer(tokens, [], {"<x>": 5})
    with pytest.raises(ValueError, match="special 'Ġa' is also an ordinary token"):
        BytePairTokenizer.train(" a a", 258, special=["Ġa"])


def test_a_representation_says_how_large_it_is(tokenizer: BytePairTokenizer) -> None:
    assert repr(tokenizer) == "<BytePairTokenizer of 700 tokens, 442 merges>"
    assert tokenizer != "other"
