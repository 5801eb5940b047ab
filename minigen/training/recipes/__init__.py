"""Recipes: how each model is trained. Data, optimizer, the update of one step, what is measured.

A recipe is a function of `Settings` that returns a `Job` for `minigen.training.train`. Nothing else
about a model is hidden in the training loop: what a step does stands here in a few lines.
"""

from minigen.training.recipes.catalogue import RECIPES, default_settings
