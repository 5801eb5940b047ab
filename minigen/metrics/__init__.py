"""How good are samples: distances and scores, each equal to its published formula."""

from minigen.metrics.bits import bits_per_dimension
from minigen.metrics.by_class import diversity_within_classes, label_agreement
from minigen.metrics.by_size import BySize, frechet_by_size
from minigen.metrics.classifier import (
    DigitClassifier,
    digit_classifier,
    digit_features,
    digit_probabilities,
)
from minigen.metrics.digits import (
    digit_distance_by_size,
    digit_scores,
    reconstruction_scores,
)
from minigen.metrics.frechet import frechet_distance
from minigen.metrics.inception import inception_score, inception_score_of_splits
from minigen.metrics.kernel_distance import (
    MeanAndSpread,
    kernel_inception_distance,
    polynomial_mmd2,
)
from minigen.metrics.modes import (
    ClassCoverage,
    ModeCoverage,
    class_coverage,
    grid_centres,
    mode_coverage,
    mode_distance,
    ring_centres,
)
from minigen.metrics.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from minigen.metrics.path_length import PathLength, path_length, spherical
from minigen.metrics.score import Score
from minigen.metrics.squared_error import mean_squared_error, peak_signal_noise_ratio
from minigen.metrics.structural_similarity import structural_similarity

__all__ = [
    "BySize",
    "ClassCoverage",
    "DensityCoverage",
    "DigitClassifier",
    "MeanAndSpread",
    "ModeCoverage",
    "PathLength",
    "PrecisionRecall",
    "Score",
    "bits_per_dimension",
    "class_coverage",
    "density_coverage",
    "digit_classifier",
    "digit_distance_by_size",
    "digit_features",
    "digit_probabilities",
    "digit_scores",
    "diversity_within_classes",
    "frechet_by_size",
    "frechet_distance",
    "grid_centres",
    "inception_score",
    "inception_score_of_splits",
    "kernel_inception_distance",
    "label_agreement",
    "mean_squared_error",
    "mode_coverage",
    "mode_distance",
    "path_length",
    "peak_signal_noise_ratio",
    "polynomial_mmd2",
    "precision_recall",
    "reconstruction_scores",
    "ring_centres",
    "spherical",
    "structural_similarity",
]
