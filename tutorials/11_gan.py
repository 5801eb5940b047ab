# %% [markdown] id="question" goal="what each of two networks in a contest ends up with, and how it fails" minutes=1.5 after=["09"]
# # 11 · A generative adversarial network
#
# A VAE is told pixel by pixel how good a picture is, and that shows: where it is unsure, it draws
# grey. One would rather have a judge that says whether the whole looks real. Nobody can write that
# judge down, but it can be learned, from the very pictures it is to judge: a discriminator $D$ is
# given real data $x$ and made-up data $G(z)$, and says for each how probable it is that it is real.
# The generator $G$, which turns noise $z$ into data, is trained to be believed (I. Goodfellow and
# others, "Generative Adversarial Nets", arXiv 1406.2661):
#
# $$\min_G \max_D V(D, G), \qquad
# V = \mathrm{E}_x[\ln D(x)] + \mathrm{E}_z[\ln (1 - D(G(z)))].$$
#
# Two networks that pull at one number in opposite directions: what does each of them end up with,
# and what can go wrong on the way?

# %%
import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import nn, optim
from minigen.classroom.lesson import claim, fast, show
from minigen.data import load_digits
from minigen.metrics import class_coverage, mode_coverage, ring_centres
from minigen.nn import functional as F
from minigen.testing import assert_gradients
from minigen.viz.grid import tile

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#777777"


def steps(number):
    return 30 if fast() else number


# %% [markdown] id="judge" grad="judge"
# ## What the best judge says
#
# Let real data have the density $p$ and generated data $q$. Then
#
# $$V = \int p(x) \ln D(x) + q(x) \ln (1 - D(x))\; dx,$$
#
# and $D$ may be chosen at each $x$ by itself. There, $p/D - q/(1 - D) = 0$ gives
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)}, \qquad V(D^*) = -2 \ln 2 + 2\, \mathrm{JSD}(p, q),$$
#
# with the Jensen-Shannon divergence $\mathrm{JSD} = \frac{1}{2} \mathrm{KL}(p\|m) + \frac{1}{2}
# \mathrm{KL}(q\|m)$, $m = (p + q)/2$. It is 0 only where $p = q$, and then $D^* = 1/2$ everywhere:
# against a perfect judge, the best a generator can do is to draw from $p$ itself.
#
# The network puts out a logit $a$, and $D = 1/(1 + e^{-a})$. With $s(a) = \ln (1 + e^a)$,
# $-\ln D = s(-a)$ and $-\ln (1 - D) = s(a)$. $D$ descends $-V/2$, which is the cross-entropy per
# example, and $\ln 2 = 0.693$ where it can tell nothing:
#
# $$L_D = \frac{1}{2N} \sum_n s(-a_n) + s(a'_n), \qquad
# \frac{\partial L_D}{\partial a_n} = -\frac{1 - D(x_n)}{2N}, \qquad
# \frac{\partial L_D}{\partial a'_n} = \frac{D(x'_n)}{2N},$$
#
# where $x'_n = G(z_n)$ are generated and $a'_n$ are their logits.


# %% check="judge"
def softplus(a):
    return np.logaddexp(0, a)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def judge(real, made):
    """L_D from the logits of N real and N generated examples"""
    return (softplus(-real).mean() + softplus(made).mean()) / 2


def judge_backward(g, real, made):
    return g * (sigmoid(real) - 1) / (2 * len(real)), g * sigmoid(made) / (2 * len(made))


rng = np.random.default_rng(0)
assert_gradients((judge, judge_backward), *(2 * rng.standard_normal((2, 6))))
claim("0.693", judge(np.zeros(6), np.zeros(6)))

# %% [markdown] id="trained"
# Does a trained network come to $D^*$? Take two densities on a line that we know, train only the
# judge, and compare: the curve with $p/(p + q)$, its loss with $\ln 2 - \mathrm{JSD} = 0.423$. Its
# logit is then $\ln p/q$: a classifier of real and made-up data has learned the ratio of two
# densities, neither of which it was ever told.


# %%
def normal(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


def draw_p(count):  # two bumps
    left = minigen.rand(count, 1) < 0.5
    return minigen.where(left, -1.5, 1.5) + 0.5 * minigen.randn(count, 1)


def draw_q(count):  # one broad bump in the wrong place
    return 0.3 + 0.8 * minigen.randn(count, 1)


def mlp(inputs, width, outputs):
    layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def train_judge(loss, number):
    """A network a(x) on the line that descends loss(a of real, a of generated)."""
    minigen.manual_seed(0)
    D = mlp(1, 32, 1)
    optimizer = optim.Adam(D.parameters(), lr=5e-3)
    for step in range(number):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / number)
        optimizer.zero_grad()
        loss(D(draw_p(256)), D(draw_q(256))).backward()
        optimizer.step()
    return D


def cross_entropy(real, made):
    return (F.softplus(-real).mean() + F.softplus(made).mean()) / 2


line = np.linspace(-4, 4, 801)
p = (normal(line, -1.5, 0.5) + normal(line, 1.5, 0.5)) / 2
q = normal(line, 0.3, 0.8)


def integral(values):
    return values.sum() * (line[1] - line[0])


m = (p + q) / 2
jsd = integral(p * np.log(p / m) + q * np.log(q / m)) / 2
D = train_judge(cross_entropy, steps(1500))
with minigen.no_grad():
    trained = D(minigen.tensor(line[:, None].astype("float32"))).sigmoid().numpy()[:, 0]
    minigen.manual_seed(1)
    reached = float(cross_entropy(D(draw_p(50_000)), D(draw_q(50_000))))
figure = Figure((6.4, 3.4), layout="constrained")
axes = figure.subplots()
axes.fill_between(line, p, color=BLUE, alpha=0.3, label="p, real")
axes.fill_between(line, q, color=ORANGE, alpha=0.3, label="q, generated")
axes.plot(line, p / (p + q), color="black", linestyle="--", label="$D^* = p / (p + q)$")
axes.plot(line, trained, color=GREEN, label="D, trained")
axes.set(xlabel="x", ylabel="density, or probability", ylim=(0, 1.05))
axes.legend(frameon=False, loc="upper center", fontsize=8, ncols=2)
show(
    figure, "judge", "The best discriminator and a trained one. Where there are no data they part."
)
gap = integral(m * np.abs(trained - p / (p + q)))  # where there are data, on average
print(f"loss {reached:.3f}, of the best judge {np.log(2) - jsd:.3f}; mean |D - D*| {gap:.3f}")
claim("0.423", np.log(2) - jsd)

# %% [markdown] id="generator" grad="generator"
# ## What the generator descends
#
# In the game above, $G$ descends $\ln (1 - D) = -s(a)$, the *minimax* loss. In practice it descends
# $-\ln D = s(-a)$ instead, called *non-saturating*. Their slopes with respect to the logit:
#
# $$\frac{d}{da} \ln (1 - D) = -D, \qquad \frac{d}{da} (-\ln D) = -(1 - D).$$
#
# Both want a larger $a$. But look at when each of them stops pulling. Early on $G$ is bad and $D$
# knows it, $a = -8$ say, $D = 0.0003$: the minimax slope is -0.0003, the other -0.9997, 2,981 times
# as steep. A widespread sentence has it the wrong way round: that a generator *so good* that
# $D \approx 1$ leaves no gradient. At $a = 4$, $D = 0.982$, the minimax slope is -0.982. What
# saturates is failure. Nor are the two "the same loss written differently", as a comment beside
# code with `BCE(D(fake), 1)` often says; they only agree on where to stop.


# %% check="generator"
def minimax(a):
    return -softplus(a)


def non_saturating(a):
    return softplus(-a)


logits = 3 * rng.standard_normal(8)
assert_gradients((minimax, lambda g, a: -g * sigmoid(a)), logits)
assert_gradients((non_saturating, lambda g, a: -g * (1 - sigmoid(a))), logits)
for text, a, slope in (
    ("0.0003", -8.0, sigmoid),
    ("-0.0003", -8.0, lambda a: -sigmoid(a)),
    ("-0.9997", -8.0, lambda a: sigmoid(a) - 1),
    ("0.982", 4.0, sigmoid),
    ("-0.982", 4.0, lambda a: -sigmoid(a)),
    ("2,981", -8.0, lambda a: (1 - sigmoid(a)) / sigmoid(a)),
):
    claim(text, slope(a))

# %% [markdown] id="distance"
# How much does it matter? Let $p = \mathcal{N}(0, 1)$, and let the generator be
# $\mathcal{N}(\theta, 1)$, with only $\theta$ to learn. The perfect judge's logit is
# $a(x) = \ln p/q = \theta^2/2 - \theta x$, and both slopes with respect to $\theta$ are integrals.
# At a distance of 6 the minimax loss pulls with a slope of 0.012, the other with 6.0.

# %%
x = np.linspace(-12, 20, 6401)
distances = np.linspace(0, 8, 81)


def pull(theta, slope):
    """d/d theta of the mean loss of N(theta, 1), which is the mean of slope(a) da/dx"""
    a = theta**2 / 2 - theta * x
    return (normal(x, theta, 1) * slope(a) * -theta).sum() * (x[1] - x[0])


slopes = {
    "minimax": [pull(theta, lambda a: -sigmoid(a)) for theta in distances],
    "non-saturating": [pull(theta, lambda a: sigmoid(a) - 1) for theta in distances],
}
figure = Figure((6.4, 2.8), layout="constrained")
axes = figure.subplots()
for (name, values), color in zip(slopes.items(), (BLUE, ORANGE)):
    axes.plot(distances, values, color=color, label=name)
axes.set(xlabel="distance of generated from real data (standard deviations)", ylabel="slope")
axes.legend(frameon=False)
show(figure, "slopes", "How hard each loss pulls at a generator's mean, against a perfect judge.")
claim("0.012", slopes["minimax"][60])
claim("6.0", slopes["non-saturating"][60])

# %% [markdown] id="step"
# ## Two networks, one step
#
# | tensor | shape | made by |
# |---|---|---|
# | real $x$ | (N, d) | the data |
# | noise $z$ | (N, J) | a standard normal distribution |
# | generated $x'$ | (N, d) | $G$, J to 128 to 128 to d |
# | what $D$ sees | (N/k, k d) | k examples of one kind side by side; k = 1 for now |
# | logits $a$, $a'$ | (N/k, 1) | $D$, k d to 128 to 128 to 1 |
#
# One step improves $D$ on a batch, then $G$. In $D$'s half the generated examples are *detached*:
# constants, whose history ends there.


# %%
class GAN:
    def __init__(self, data, noise, squash=nn.Identity, pack=1, width=128, lr=1e-3):
        self.noise, self.pack = noise, pack
        self.G = nn.Sequential(mlp(noise, width, data), squash())
        self.D = mlp(pack * data, width, 1)
        self.adam_g = optim.Adam(self.G.parameters(), lr=lr, betas=(0.5, 0.999))
        self.adam_d = optim.Adam(self.D.parameters(), lr=lr, betas=(0.5, 0.999))

    def logits(self, x):
        return self.D(x.reshape(len(x) // self.pack, -1))  # (N, d) -> (N/k, k d) -> (N/k, 1)

    def step(self, real):
        made = self.G(minigen.randn(len(real), self.noise))

        loss_d = cross_entropy(self.logits(real), self.logits(made.detach()))
        self.adam_d.zero_grad()
        loss_d.backward()
        self.adam_d.step()

        loss_g = F.softplus(-self.logits(made)).mean()  # non-saturating
        self.adam_g.zero_grad()
        loss_g.backward()
        self.adam_g.step()

    @minigen.no_grad()
    def draw(self, count):
        generator = minigen.Generator().manual_seed(2)
        return self.G(minigen.randn(count, self.noise, generator=generator)).numpy()


# %% [markdown] id="detach"
# ## Without the detach
#
# Forget it, and $D$'s loss walks back through $G$ as well. Predict what it leaves there, then look:
# the slopes of $\frac{1}{2} s(a')$ where $G$ asks for those of $-s(a')$. In direction they are its
# exact opposite, cosine -1.00. As long as `adam_g.zero_grad()` stands between the two `backward`
# calls, all that is lost is time. Move it to the top of the step, where it looks tidier, and
# everything adds up: with the minimax loss, half of each of $G$'s gradients is gone; with the other
# one, $G$ is told to fool $D$ and to be found out, both at once. The same wrong direction is taken
# by whoever trains $G$ on the label "fake".


# %%
def gradient_of_g(gan, loss):
    gan.adam_g.zero_grad()
    loss.backward()
    return np.concatenate([w.grad.numpy().ravel() for w in gan.G.parameters()])


minigen.manual_seed(0)
gan = GAN(data=2, noise=2)
real, z = minigen.randn(64, 2), minigen.randn(64, 2)
leaked = gradient_of_g(gan, cross_entropy(gan.logits(real), gan.logits(gan.G(z))))
wanted = gradient_of_g(gan, -F.softplus(gan.logits(gan.G(z))).mean())
cosine = leaked @ wanted / np.linalg.norm(leaked) / np.linalg.norm(wanted)
print(f"cosine {cosine:.4f}; {np.linalg.norm(leaked) / np.linalg.norm(wanted):.3f} times as long")
claim("-1.00", cosine)
gan.adam_g.zero_grad()
cross_entropy(gan.logits(real), gan.logits(gan.G(z).detach())).backward()
assert all(w.grad is None for w in gan.G.parameters())  # with the detach nothing arrives

# %% [markdown] id="ring"
# ## Eight places to find
#
# Real points lie around 8 centres on a circle, with a standard deviation of `0.02`. In the plane we
# can see what a generator does, and count it: a centre is found if at least one in a hundred of the
# generated points lies within three standard deviations of it. Nothing in the loss asks $G$ to find
# all of them. $D$ looks at one point at a time, so a $G$ that puts all its points on one good place
# looks fine, until $D$ learns to distrust that place, and $G$ moves them all to the next.
#
# The cure here is to let $D$ see more (Z. Lin and others, "PacGAN", arXiv 1712.04086): it judges
# *pairs*, both real or both generated. Two real points lie at the same centre one time in eight. If
# two generated ones do so every time, that gives them away.


# %%
CENTRES, STD = ring_centres(), 0.02


def draw_ring(count):
    centres = minigen.tensor(CENTRES.astype("float32"))
    return centres[minigen.randint(8, (count,))] + STD * minigen.randn(count, 2)


def train_on_ring(pack, seed, number=2000, looks=5):
    minigen.manual_seed(seed)
    gan, seen = GAN(data=2, noise=2, pack=pack), []
    for step in range(1, number + 1):
        gan.step(draw_ring(256))
        if step % (number // looks) == 0:
            seen.append((step, gan.draw(2000)))
    return seen


def found(points):
    return mode_coverage(points, CENTRES, STD, at_least=0.01)


ring = {pack: train_on_ring(pack, seed=0, number=steps(2000)) for pack in (1, 2)}
figure = Figure((7, 3.2), layout="constrained")
grid = figure.subplots(2, 5, sharex=True, sharey=True)
for row, (pack, seen) in zip(grid, ring.items()):
    for axes, (step, points) in zip(row, seen):
        axes.plot(*CENTRES.T, "o", color=GREY, markersize=9, markerfacecolor="none")
        axes.plot(*points.T, ".", color=BLUE, markersize=1.5, alpha=0.4)
        axes.set_title(f"step {step}: {found(points).captured} of 8", fontsize=8)
        axes.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), aspect="equal", xticks=[], yticks=[])
    row[0].set_ylabel("single points" if pack == 1 else "pairs")
show(figure, "ring", "2,000 generated points over the steps, judged singly and in pairs.")
for pack, seen in ring.items():
    last = found(seen[-1][1])
    print(f"pack {pack}: {last.captured} of 8, {last.high_quality:.0%} of the points near one")

# %% [markdown] id="digits"
# ## Digits
#
# The same class, with pictures of 8 by 8 pixels for points, a sigmoid at $G$'s end, and 32 numbers
# of noise.

# %%
images, labels = load_digits()
order = np.random.default_rng(0).permutation(len(images))
pixels = (images.reshape(-1, 64)[order] / 16).astype("float32")
kept, held_out = pixels[:1400], pixels[1400:]
kept_labels = labels[order][:1400]


def nearest(x):
    """The digit of the nearest real picture, and the distance to it: (N, 64) -> 2 x (N,)"""
    squares = (x**2).sum(1)[:, None] - 2 * x @ kept.T + (kept**2).sum(1)
    return kept_labels[squares.argmin(1)], np.sqrt(np.maximum(squares.min(1), 0))


minigen.manual_seed(0)
gan, data, seen = GAN(64, 32, nn.Sigmoid, pack=2, lr=5e-4), minigen.tensor(kept), []
for step in range(1, steps(4000) + 1):
    gan.step(data[minigen.randint(len(data), (128,))])
    if step in (10, 100, 400, 1000, 2000, 4000):
        seen.append(gan.draw(12).reshape(-1, 8, 8))
made = gan.draw(len(held_out))
for name, x in (("generated", made), ("held out", held_out)):
    classes, distances = nearest(x)
    coverage = class_coverage(classes, 10, at_least=0.01)
    print(
        name, coverage.seen, coverage.counts, f"{coverage.distance:.3f}", f"{distances.mean():.2f}"
    )
figure = Figure((7, 4), layout="constrained")
axes = figure.subplots()
axes.imshow(tile(np.concatenate([*seen, kept[:12].reshape(-1, 8, 8)]), 12, gap=1), cmap="gray")
axes.set_axis_off()
show(figure, "digits", "Generated digits over the steps; the last row is real.")

# %% [markdown] id="exercise" exercise="hinge"
# ## Exercise: the hinge loss
#
# Cross-entropy never lets $D$ rest: a logit of 8 can always become 9. The hinge loss (J. H. Lim and
# J. C. Ye, "Geometric GAN", arXiv 1705.02894) stops at a margin. $D$'s output is a plain number
# $f$, and
#
# $$L_D = \mathrm{E}_x[\max(0, 1 - f(x))] + \mathrm{E}_z[\max(0, 1 + f(G(z)))], \qquad
# L_G = -\mathrm{E}_z[f(G(z))].$$
#
# Write both, for tensors of outputs. Before you run the check, find on paper the best $f$ for given
# $p$ and $q$, as we did for $D^*$: where is $p \max(0, 1 - f) + q \max(0, 1 + f)$ smallest?


# %% solution="hinge"
def hinge(real, made):
    """-> L_D, L_G, two scalars, from D's outputs for real and for generated examples"""
    # BEGIN SOLUTION
    too_low = F.relu(1 - real)  # real examples on the wrong side of the margin
    too_high = F.relu(1 + made)  # generated ones
    loss_d = too_low.mean() + too_high.mean()
    loss_g = -made.mean()
    return loss_d, loss_g
    # END SOLUTION


# %% [markdown] id="best"
# Between -1 and 1 the sum is $p + q + f(q - p)$, a straight line in $f$; outside it only grows. So
# the best $f$ is 1 where $p > q$ and -1 where $q > p$, and the loss is $2 \int \min(p, q)\, dx$,
# 0.776 for the densities on the line. $D^*$ tells how much, the hinge's best only which.

# %%
values = hinge(minigen.tensor([2.0, 0.5, -1.0]), minigen.tensor([-3.0, 0.0, 0.5]))
assert np.allclose([float(v) for v in values], [2.5 / 3 + 2.5 / 3, 2.5 / 3]), values
assert_gradients(lambda a, b: hinge(a, b)[0], *rng.uniform(-0.9, 0.9, (2, 5)), order=1)
assert_gradients(lambda a, b: hinge(a, b)[1], *rng.uniform(-0.9, 0.9, (2, 5)), order=1)

best = 2 * integral(np.minimum(p, q))
f = train_judge(lambda real, made: hinge(real, made)[0], steps(1500))
with minigen.no_grad():
    minigen.manual_seed(1)
    reached = float(hinge(f(draw_p(50_000)), f(draw_q(50_000)))[0])
    right = np.sign(f(minigen.tensor(line[:, None].astype("float32"))).numpy()[:, 0])
agree = integral(m * (right == np.sign(p - q)))
print(f"hinge loss {reached:.3f}, of the best f {best:.3f}; f has the right sign on {agree:.1%}")
claim("0.776", best)

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.models.gan` has the generator and the discriminator, `minigen.models.gan_losses` the pairs
# of losses (`minimax`, `non_saturating`, `hinge`, `least_squares`, `wasserstein`), `packed`, and
# the penalties that bound a discriminator's slope, and `minigen.metrics` has `mode_coverage` and
# `class_coverage`. `minigen train ring` is the experiment with pairs and a moving average of $G$'s
# weights, `minigen train gan` the one with digits of 28 by 28 pixels; `dcgan` and `wgan_gp` are the
# next two steps.

# %%
from minigen.models import gan_losses
