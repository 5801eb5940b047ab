"""How GPT-2 prepares text for byte-pair encoding (A. Radford et al., "Language Models are
Unsupervised Multitask Learners", 2019, section 2.2).

Merges must not run across words, or the vocabulary would fill up with "dog.", "dog!" and "dog?". So
the text is first cut into words, each with the space before it: "a dog." -> "a", " dog", ".". Then
each word becomes bytes, of which there are 256, so that no text is ever outside the vocabulary.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

# Unicode's property White_Space. Python's `\s` also takes the separators U+001C to U+001F.
WHITE_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@functools.cache
def word_pattern() -> re.Pattern[str]:
    r"""What a word is, by GPT-2's regular expression.

    It was written for the package `regex`, which knows \p{L}, all letters of all scripts, and
    \p{N}, all numbers. The standard library's `re` does not, but its \w is both of them and the
    underscore, its \d the decimal digits, a part of \p{N}. So the rest of \p{N} is what makes
    \p{L} and \p{N} of \w and \d. Letters newer than Python's own Unicode count as neither.

    >>> word_pattern().findall("We've 2 dogs,  naïve ones!")
    ['We', "'ve", ' 2', ' dogs', ',', ' ', ' naïve', ' ones', '!']
    """
    space, more = WHITE_SPACE, _numbers_but_digits()
    return re.compile(
        r"'(?:[sdmt]|ll|ve|re)"  # English endings
        rf"| ?[^\W\d_{more}]+"  # letters
        rf"| ?[\d{more}]+"  # numbers
        rf"| ?(?:[^{space}\w]|_)+"  # punctuation, symbols, marks
        rf"|[{space}]+(?![^{space}])"  # spaces, but for the last one if a word follows
        rf"|[{space}]+"
    )


def _numbers_but_digits() -> str:
    """The letter-like and other numbers, Ⅷ and ½ say, as the inside of a `[...]`: 80 ranges."""
    ranges: list[list[int]] = []
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        if not character.isnumeric() or unicodedata.category(character) not in ("Nl", "No"):
            continue
        if ranges and ranges[-1][1] == code_point - 1:
            ranges[-1][1] = code_point
        else:
            ranges.append([code_point, code_point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def byte_symbols() -> list[str]:
    r"""The visible character that stands for each byte in GPT-2's files, by the byte's value.

    Lines of `merges.txt` are split at spaces, so no byte may be written as a space or line break.
    Bytes that Latin-1 shows as themselves keep that character; the other 68 (controls, spaces, the
    soft hyphen) get those from U+0100 on, in order: a space is written Ġ, a line break Ċ.

    >>> symbols = byte_symbols()
    >>> "".join(symbols[byte] for byte in b"A dog\n"), symbols[0]
    ('AĠdogĊ', 'Ā')
    """
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)}
    visible |= set(range(ord("®"), ord("ÿ") + 1))
    substitutes = iter(range(256, 512))
    return [chr(byte if byte in visible else next(substitutes)) for byte in range(256)]


def check_utf8(text: str) -> None:
    """Raises ValueError that names the first lone surrogate of a text, which UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has a lone surrogate, {text[error.start]!r}, at position {error.start}: that"
            " is half a character and has no bytes in UTF-8"
        ) from None
