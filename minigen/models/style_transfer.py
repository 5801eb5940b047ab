"""Style transfer: L. A. Gatys, A. S. Ecker, M. Bethge, "Image Style Transfer Using Convolutional
Neural Networks", CVPR 2016.

What a picture shows and how it is drawn can be told apart by a classifier's features. The
features themselves, place by place, say what is where: the *content* (equation 1). How often two
features occur together, wherever that is, says which strokes there are: the *style*, a Gram matrix
for each layer (equation 3). A third picture is asked to have the content of one and the style of
another, and its pixels are what is optimised (equation 7):

    L(x) = alpha sum_l L_content(F_l, P_l) + beta sum_l w_l E_l(F_l, A_l)

with F_l the features of x in layer l, P_l those of the content picture, A_l the Gram matrices of
the style picture. The features here are those of minigen's own digit classifier. It has two
convolutions only and so sees no further than a stroke is wide; therefore it looks at the picture at
several scales, each half as large as the one before.

Shapes: pictures (N, 1, H, W) in [0, 1]; features (N, C, H_l, W_l).
"""

from __future__ import annotations

from collections.abc import Sequence

import minigen
from minigen import Tensor, nn
from minigen.metrics.classifier import DigitClassifier, digit_classifier
from minigen.nn import functional as F


class StrokeFeatures:
    """The layers of a digit classifier, at `scales` scales: (N, 1, H, W) -> 2 scales tensors,
    conv1 (N, 16, h, w) and conv2 (N, 32, h/2, w/2) with h = H, H/2, ...

    Average pooling takes the place of the largest value: pictures come out smoother (section 2).
    Raises ValueError for pictures that are not grey, are too small for so many scales, or hold NaN.

    >>> [tuple(f.shape) for f in StrokeFeatures(scales=2)(minigen.zeros(1, 1, 32, 32))]
    [(1, 16, 32, 32), (1, 32, 16, 16), (1, 16, 16, 16), (1, 32, 8, 8)]
    """

    def __init__(self, classifier: DigitClassifier | None = None, scales: int = 3) -> None:
        self.classifier = digit_classifier() if classifier is None else classifier
        self.scales = scales

    def __call__(self, x: Tensor) -> list[Tensor]:
        self._check(x)
        features = []
        for scale in range(self.scales):
            if scale:
                x = F.avg_pool2d(x, 2)  # (N, 1, h, w) -> (N, 1, h/2, w/2)
            first = F.relu(self.classifier.conv1(x))
            second = F.relu(self.classifier.conv2(F.avg_pool2d(first, 2)))
            features += [first, second]
        return features

    def _check(self, x: Tensor) -> None:
        smallest = 4 * 2 ** (self.scales - 1)
        if x.ndim != 4 or x.shape[1] != 1 or min(x.shape[2:]) < smallest:
            raise ValueError(
                f"StrokeFeatures: needs grey pictures (N, 1, H, W) of {smallest} x {smallest} "
                f"pixels or more for {self.scales} scales, got {tuple(x.shape)}"
            )
        if not x.is_cuda and bool(x.isnan().any()):  # a GPU would be waited for
            raise ValueError("StrokeFeatures: the picture holds NaN")


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """1/2 sum of (F - P)², equation 1; a scalar. Both (N, C, H, W).

    >>> content_loss(minigen.ones(1, 2, 1, 3), minigen.zeros(1, 2, 1, 3))
    tensor(3.)
    """
    return (features - target).square().sum() / 2


def gram_matrix(features: Tensor) -> Tensor:
    """G_ij = sum over places k of F_ik F_jk (equation 3): (N, C, H, W) -> (N, C, C).

    >>> gram_matrix(minigen.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]]))
    tensor([[[5., 6.],
             [6., 9.]]])
    """
    f = features.flatten(2)  # (N, C, H, W) -> (N, C, H W)
    return f @ f.mT


def style_loss(features: Tensor, gram: Tensor, pixels: int | None = None) -> Tensor:
    """E = sum of (G / M - A / M')² / (4 C²), a scalar: equation 4, with M = H W places in the
    features (N, C, H, W), and M' in the picture that the Gram matrix A (N, C, C) comes from, M if
    None: so the style may come from a picture of another size.

    >>> style_loss(minigen.ones(1, 1, 2, 2), minigen.zeros(1, 1, 1))
    tensor(0.2500)
    """
    _, channels, height, width = features.shape
    places = height * width
    apart = gram_matrix(features) / places - gram / (pixels or places)
    return apart.square().sum() / (4 * channels**2)


class StyleTransfer(nn.Module):
    """Pictures in the making: `pixels` (N, 1, H, W), the only parameter, begins as the contents.

    content, style: pairs of pictures (N, 1, H, W) and (N, 1, H', W') in [0, 1]. content_layers:
    those of `StrokeFeatures` by number; the style has all. `keep_in_range` belongs after each step.

    >>> picture = StyleTransfer(minigen.zeros(1, 1, 16, 16), minigen.ones(1, 1, 16, 16), scales=1)
    >>> content, style = picture.losses()
    >>> content.item(), style.item() > 0
    (0.0, True)
    """

    def __init__(
        self,
        content: Tensor,
        style: Tensor,
        scales: int = 3,
        content_layers: Sequence[int] = (1, 3, 5),
        classifier: DigitClassifier | None = None,
    ) -> None:
        super().__init__()
        if len(content) != len(style):
            raise ValueError(f"{len(content)} contents and {len(style)} styles make no pairs")
        self.features = StrokeFeatures(classifier, scales)  # fixed: no part of what is trained
        self.content_layers = [i for i in content_layers if i < 2 * scales]
        with minigen.no_grad():
            self.targets = self.features(content)
            styles = self.features(style)
            self.grams = [gram_matrix(f) for f in styles]
            self.places = [f.shape[2] * f.shape[3] for f in styles]
        self.pixels = nn.Parameter(content.clone())

    def losses(
        self, chosen: Tensor | None = None, pictures: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """L_content and L_style, two scalars, of the pictures as they are or of other `pictures`
        for the same contents and styles, (N, 1, H, W); of all, or of the `chosen` numbers (K,).

        Means over pictures and layers, that of content also over the values of a layer, so that the
        size of a picture does not count.
        """
        x = self.pixels if pictures is None else pictures
        pick = slice(None) if chosen is None else chosen
        features = self.features(x[pick])
        content = [
            content_loss(features[i], self.targets[i][pick]) / features[i].numel()
            for i in self.content_layers
        ]
        style = [
            style_loss(f, a[pick], m) / len(f) for f, a, m in zip(features, self.grams, self.places)
        ]
        return minigen.stack(content).mean(), minigen.stack(style).mean()

    @minigen.no_grad()
    def keep_in_range(self) -> None:
        """Put every pixel back into [0, 1]."""
        self.pixels.clamp_(0, 1)
