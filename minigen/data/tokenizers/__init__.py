"""Tokenizers: text to integers and back.

| file            | tokens                                                                      |
| --------------- | --------------------------------------------------------------------------- |
| `characters.py` | the characters of a text                                                    |
| `bytelevel.py`  | GPT-2's: bytes, merged by byte-pair encoding; trained here, or read         |
| `words.py`      |   how GPT-2 cuts a text into words, and how it writes bytes down            |
| `merging.py`    |   how merges are learned from words, and applied to a word                  |
| `wordpiece.py`  | BERT's: the longest pieces of words that a vocabulary holds                 |
"""

from minigen.data.tokenizers.bytelevel import BytePairTokenizer
from minigen.data.tokenizers.characters import CharTokenizer
from minigen.data.tokenizers.wordpiece import WordPieceTokenizer
