"""How two networks are trained against each other: one step for all GANs, with every loss.

`Rules` are the options of a recipe, `Contest` is the step. What is not asked for costs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import minigen
from minigen import Tensor, optim
from minigen.models.gan import Discriminator, Generator
from minigen.models.gan_losses import (
    LOSSES,
    clip_weights,
    discriminator_loss,
    feature_matching_loss,
    gradient_penalty,
    mode_seeking_loss,
    packed,
    r1_penalty,
)
from minigen.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from minigen.training.job import Settings

WITH_LABELS = ("minimax", "non_saturating")  # D's cross-entropy, which label smoothing is about


@dataclass(frozen=True)
class Rules:
    """What a GAN is trained with; 0 and False stand for "without".

    loss:             a name in `minigen.models.gan_losses.LOSSES`.
    smoothing:        of the label of real images, one-sided; 0.1 is usual.
    critic_steps:     updates of D for one of G, each on a part of the batch of its own.
    clip:             what bounds every weight of D after each update; WGAN has 0.01.
    penalty:          lambda of the gradient penalty; WGAN-GP has 10.
    r1:               gamma of R1.
    feature_matching: G descends the distance between mean features, in place of its own loss.
    mode_seeking:     weight of the mode-seeking loss beside G's; its paper has 1.
    average:          decay of the moving average of G's weights, from which samples then come.
    """

    loss: str = "non_saturating"
    smoothing: float = 0.0
    critic_steps: int = 1
    clip: float = 0.0
    penalty: float = 0.0
    r1: float = 0.0
    feature_matching: bool = False
    mode_seeking: float = 0.0
    average: float = 0.0

    @classmethod
    def of(cls, settings: Settings, **defaults: Any) -> Rules:
        """Those among a recipe's options, with `defaults` for what an older run does not name.

        Raises ValueError if they make no sense, alone, together, or with the settings.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        given = {name: value for name, value in settings.options.items() if name in names}
        rules = cls(**{**defaults, **given})
        rules.check(settings.model)
        parts = rules.critic_steps * settings.model.get("pack", 1)
        if settings.batch_size % parts:
            raise ValueError(
                f"a batch of {settings.batch_size} cannot be divided among critic_steps "
                f"{rules.critic_steps} and pack {settings.model.get('pack', 1)}: take a multiple "
                f"of {parts}"
            )
        return rules

    def check(self, model: Mapping[str, Any]) -> None:
        """Raises ValueError for what is out of range, or makes no sense together."""
        if self.loss not in LOSSES:
            raise ValueError(f"there is no loss {self.loss!r}; choose one of {', '.join(LOSSES)}")
        for name in ("smoothing", "clip", "penalty", "r1", "mode_seeking", "average"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"{name} must be 0 or a positive number, got {value!r}")
        for name, least in (("smoothing", "0.5"), ("average", "1")):
            if getattr(self, name) >= float(least):
                raise ValueError(f"{name} must be below {least}, got {getattr(self, name)}")
        for name, value in (("critic_steps", self.critic_steps), ("pack", model.get("pack", 1))):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}")
        if not isinstance(self.feature_matching, bool):
            raise ValueError(f"feature_matching is True or False, got {self.feature_matching!r}")
        spectral_norm = model.get("spectral_norm", False)
        if self.smoothing and self.loss not in WITH_LABELS:
            raise ValueError(f"smoothing is of labels, and the loss {self.loss} has none")
        if self.clip and self.loss != "wasserstein":
            raise ValueError(f"clip makes a critic of D, for the loss wasserstein, not {self.loss}")
        bounds = [name for name in ("clip", "penalty", "r1") if getattr(self, name)]
        if len(bounds) > 1:
            raise ValueError(f"{' and '.join(bounds)} bound the same slope; take one of them")
        if self.clip and spectral_norm:
            raise ValueError("clip and spectral_norm bound the same weights; take one of them")
        if self.loss == "wasserstein" and not (self.clip or self.penalty or spectral_norm):
            raise ValueError(
                "the loss wasserstein needs a bound on D's slope: penalty=10, clip=0.01 or "
                "spectral_norm=True"
            )


class Contest:
    """A generator and a discriminator, their two Adams, and a step for both.

    A batch holds images (N, D), or images and their classes (N,), which both networks then get.
    """

    def __init__(
        self, G: Generator, D: Discriminator, settings: Settings, rules: Rules | None = None
    ) -> None:
        self.rules = rules or Rules.of(settings)
        self.G, self.D = G, D
        G.to(settings.device)
        D.to(settings.device)
        self.loss = LOSSES[self.rules.loss]
        betas = tuple(settings.options["betas"])
        self.optimizer_g = optim.Adam(G.parameter_groups(settings.lr), lr=settings.lr, betas=betas)
        self.optimizer_d = optim.Adam(D.parameters(), lr=settings.lr, betas=betas)
        self.average = averaged(G, self.rules.average) if self.rules.average else None

    @property
    def artist(self) -> Generator:
        """Whose samples are shown: G with averaged weights if there are any."""
        return self.G if self.average is None else cast(Generator, self.average.module)

    @property
    def modules(self) -> dict[str, Any]:
        both = {"generator": self.G, "discriminator": self.D}
        return both if self.average is None else {**both, "average": self.average}

    @property
    def optimizers(self) -> dict[str, optim.Optimizer]:
        return {"generator": self.optimizer_g, "discriminator": self.optimizer_d}

    def step(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Some updates of D, then one of G: algorithm 1 of Goodfellow et al.

        After a single one of D, G goes on with the images that D has just seen, as usual; after
        several (algorithm 1 of Gulrajani et al.) it makes new ones.
        """
        k = self.rules.critic_steps
        for real, *y in zip(*(part.chunk(k) for part in batch)):  # (N k, ...) -> k of (N, ...)
            with minigen.set_grad_enabled(k == 1):
                z = self.G.noise(len(real))
                fake = self.G(z, *y).flatten(1)  # (N, ...) -> (N, D)
            of_d = self.improve_discriminator(real, fake.detach(), y)
        if k > 1:
            z = self.G.noise(len(real))
            fake = self.G(z, *y).flatten(1)
        of_g = self.improve_generator(real, fake, z, y)
        if self.average is not None:
            self.average.update_parameters(self.G)
        if self.rules.loss == "wasserstein":
            return {"wasserstein": -of_d, "generator": of_g}
        return {"discriminator": of_d, "generator": of_g}

    def improve_discriminator(self, real: Tensor, fake: Tensor, y: list[Tensor]) -> Tensor:
        """One update of D. Returns its loss, without what bounds its slope."""
        rules, m = self.rules, self.D.pack
        real, fake = packed(real, m), packed(fake, m)  # (N, D) -> (N / m, m D)

        def critic(x: Tensor) -> Tensor:
            return self.D(x, *y)

        # Drawn before D is asked, whose dropout draws as well.
        epsilon = minigen.rand(len(real), 1, device=real.device) if rules.penalty else None
        logits = self.judge(real, fake, y)
        if rules.smoothing:
            loss = discriminator_loss(*logits, smoothing=rules.smoothing)
        else:
            loss = self.loss.discriminator(*logits)
        total = loss
        if epsilon is not None:
            total = loss + rules.penalty * gradient_penalty(critic, real, fake, epsilon)
        elif rules.r1:
            total = loss + rules.r1 * r1_penalty(critic, real)
        self.optimizer_d.zero_grad()
        total.backward()
        self.optimizer_d.step()
        if rules.clip:
            clip_weights(self.D, rules.clip)
        return loss

    def judge(self, real: Tensor, fake: Tensor, y: list[Tensor]) -> tuple[Tensor, Tensor]:
        """D's logits of real and of generated images, (N, 1) each."""
        if self.D.compares:  # within a batch: then it must be all real or all generated
            return self.D(real, *y), self.D(fake, *y)
        # Otherwise they go through D together: one product of twice the size.
        both = [minigen.cat([each, each]) for each in y]
        logits = self.D(minigen.cat([real, fake]), *both)  # (2N, D) -> (2N, 1)
        return logits[: len(real)], logits[len(real) :]

    def improve_generator(self, real: Tensor, fake: Tensor, z: Tensor, y: list[Tensor]) -> Tensor:
        """One update of G, whose images of noise z are `fake`. Returns its loss, without the
        mode-seeking one."""
        m = self.D.pack
        with self.D.frozen():
            if self.rules.feature_matching:
                features = (self.D.features(packed(x, m), *y) for x in (real, fake))
                loss = feature_matching_loss([next(features).detach()], [next(features)])
            else:
                loss = self.loss.generator(self.D(packed(fake, m), *y))
            total = loss
            if self.rules.mode_seeking:
                z2 = self.G.noise(len(z))
                fake2 = self.G(z2, *y).flatten(1)  # of the same classes
                total = loss + self.rules.mode_seeking * mode_seeking_loss(fake, fake2, z, z2)
            self.optimizer_g.zero_grad()
            total.backward()
        self.optimizer_g.step()
        return loss


def averaged(G: Generator, decay: float) -> AveragedModel:
    """A copy of G whose weights, and statistics of batch norms, are exponential moving averages of
    G's: w̄ <- decay w̄ + (1 - decay) w (Karras et al. 2018, arXiv:1710.10196, section 6.1)."""
    return AveragedModel(G, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
