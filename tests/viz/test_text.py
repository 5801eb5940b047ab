"""Widths of texts against the metrics of a real font, and numbers as they are written."""

from __future__ import annotations

import string

import pytest
from viz.graphs import drawn_width

from minigen.viz.text import byte_text, columns, counted, table, text_width


@pytest.mark.parametrize("bold", [False, True])
def test_no_character_is_wider_than_planned(bold: bool) -> None:
    for character in string.printable[:95] + "×∂→éßΣяЖ—…汉字かなアﾊ한가":
        planned = text_width(character, 100, bold)
        needed = drawn_width(character, 100, bold)
        assert needed - 1.1 <= planned, character  # a hundredth of the size: box paddings take it
        if character.isascii():
            assert planned <= needed + 16, character


def test_marks_take_no_place_of_their_own() -> None:
    assert text_width("e\u0301", 10) == text_width("e", 10)
    assert columns("e\u0301") == 1
    assert text_width("", 10) == 0


def test_columns_stay_aligned_with_chinese_names() -> None:
    lines = table([("名字", "1"), ("name", "22"), ("n", "333")], right=[1])
    assert len({columns(line) for line in lines}) == 1
    assert lines[0] == "名字     1"


def test_numbers() -> None:
    assert byte_text(0) == "0 B"
    assert byte_text(1023) == "1023 B"
    assert byte_text(1024) == "1.0 KiB"
    assert byte_text(5 * 2**30) == "5.0 GiB"
    assert byte_text(3 * 2**40) == "3.0 TiB"
    assert counted(0, "leaf") == "0 leaves"
    assert counted(2, "node") == "2 nodes"
