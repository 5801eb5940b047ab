"""Weights that others trained: folders as Hugging Face's `transformers` has them.

| file          | what it knows                                                            |
| ------------- | ------------------------------------------------------------------------ |
| `loading.py`  | `load_pretrained`, `save_pretrained`: from folder to model and back      |
| `layouts.py`  | their names of tensors and ours, and which are turned round              |
| `configs.py`  | their `config.json` and our config dataclasses                           |
| `shards.py`   | one safetensors file, or several with an index                           |
"""

from minigen.models.pretrained.loading import load_pretrained, save_pretrained
