"""How good are samples: distances and scores, each equal to its published formula."""

from minigen.metrics.classifier import DigitClassifier, digit_classifier, digit_features
from minigen.metrics.frechet import frechet_distance
from minigen.metrics.inception import inception_score

__all__ = [
    "DigitClassifier",
    "digit_classifier",
    "digit_features",
    "frechet_distance",
    "inception_score",
]
