# %% [markdown] id="question" goal="Derive the ELBO, train a VAE, and know it from its look-alikes" minutes=1 after=["02"]
# # 09 · A variational autoencoder
#
# Here are 4,000 handwritten digits, each a row of 784 grey values. Where do new ones come from? Not
# from 784 random greys: nearly every such row looks like snow. A digit has few decisions in it,
# which figure, how slanted, how thick, and everything else follows. So let a picture $x$ come from
# a short code $z$ in two steps: draw $z$ from a standard normal distribution $p(z)$, then $x$ from
# $p(x|z)$, which a network computes. Training should make the digits we have likely, which means
# raising
#
# $$\ln p(x) = \ln \int p(x|z)\, p(z)\, dz.$$
#
# Nobody can do this integral over 20 dimensions: for a given digit, nearly all codes are wrong and
# contribute nothing. This chapter derives what one does instead (D. P. Kingma and M. Welling,
# "Auto-Encoding Variational Bayes", arXiv 1312.6114), and then breaks it in three ways that
# published programs have been broken in.

# %% [markdown] lang="zh" of="question" en="047af281" goal="推导 ELBO，训练一个 VAE，并认出那些貌似 VAE 的东西"
# # 09 · 变分自编码器
#
# 这里有 4,000 个手写数字，每个是一行 784 个灰度值。新的数字从哪里来？随机取 784 个灰度当然不行：
# 这样得到的几乎全是雪花点。一个数字里真正要决定的事情不多：是几、有多斜、笔画多粗，其余都随之而定。
# 所以设想图像 $x$ 由一个短短的编码 $z$ 分两步产生：先从标准正态分布 $p(z)$ 抽出 $z$，再从
# $p(x|z)$ 抽出 $x$，后者由一个网络算出。训练要让手头的数字变得可能，也就是提高
#
# $$\ln p(x) = \ln \int p(x|z)\, p(z)\, dz.$$
#
# 这是一个 20 维的积分，谁也算不出来：对给定的一个数字，几乎所有编码都不对，毫无贡献。本章推导实际
# 的做法（D. P. Kingma 与 M. Welling，“Auto-Encoding Variational Bayes”，arXiv 1312.6114），然后
# 用三种方式把它弄坏，这三种错误都在公开的程序里出现过。

# %%
import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import nn, optim
from minigen.chapters.lesson import claim, fast, show
from minigen.data import load_mnist5k
from minigen.metrics import digit_features, frechet_distance
from minigen.models import vae as library
from minigen.nn import functional as F
from minigen.testing import assert_gradients
from minigen.viz.grid import png, tile

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
LN_2PI = np.log(2 * np.pi)

# %% [markdown] id="bound"
# ## A bound that can be computed
#
# Guess the code back: a second distribution $q(z|x)$, of our choice, says which codes may have led
# to $x$. Bayes' rule $p(x) = p(x|z)\,p(z)/p(z|x)$ holds for every $z$. Take logarithms, add and
# subtract $\ln q(z|x)$, and average over $z \sim q$:
#
# $$\ln p(x) = \mathrm{E}_q[\ln p(x|z)] - \mathrm{KL}(q(z|x)\,\|\,p(z)) +
# \mathrm{KL}(q(z|x)\,\|\,p(z|x)),$$
#
# where $\mathrm{KL}(q\|p) = \mathrm{E}_q[\ln q - \ln p]$ is never negative. We cannot compute the
# last term, since it needs the true $p(z|x)$. Leave it out, and what remains is a lower bound, the
# ELBO: how well codes explain the picture, less what they say beyond the prior. Raising it does two
# things at once: it raises $\ln p(x)$, and it pulls $q$ towards the truth.
#
# See it where everything is known. Let $p(z) = \mathcal{N}(0, 1)$ and $p(x|z) = \mathcal{N}(z, 1)$.
# Then $p(x) = \mathcal{N}(0, 2)$, and the true code of $x$ is $p(z|x) = \mathcal{N}(x/2, 1/2)$. At
# $x = 1$, $\ln p(x) = -1.516$ nats, and no guess $q = \mathcal{N}(m, s^2)$ gets above it.

# %% [markdown] lang="zh" of="bound" en="d0c7aa89" captions={"bound": "下界随猜测 q 的变化：只有 q 恰为真实编码时，才碰到 ln p(x)。"}
# ## 一个算得出来的下界
#
# 把编码猜回来：另取一个由我们选定的分布 $q(z|x)$，它说明 $x$ 可能来自哪些编码。贝叶斯公式
# $p(x) = p(x|z)\,p(z)/p(z|x)$ 对每个 $z$ 都成立。两边取对数，加上再减去 $\ln q(z|x)$，然后对
# $z \sim q$ 取平均：
#
# $$\ln p(x) = \mathrm{E}_q[\ln p(x|z)] - \mathrm{KL}(q(z|x)\,\|\,p(z)) +
# \mathrm{KL}(q(z|x)\,\|\,p(z|x)),$$
#
# 其中 $\mathrm{KL}(q\|p) = \mathrm{E}_q[\ln q - \ln p]$ 总不为负。最后一项需要真正的 $p(z|x)$，算
# 不出来。把它去掉，剩下的就是一个下界，称为 ELBO：编码能把图像解释得多好，减去编码比先验多说了多
# 少。提高它同时做到两件事：提高 $\ln p(x)$，并把 $q$ 拉向真实的后验。
#
# 先在一切都已知的情形里看一看。设 $p(z) = \mathcal{N}(0, 1)$，$p(x|z) = \mathcal{N}(z, 1)$，那么
# $p(x) = \mathcal{N}(0, 2)$，而 $x$ 的真实编码分布是 $p(z|x) = \mathcal{N}(x/2, 1/2)$。在 $x = 1$
# 处 $\ln p(x) = -1.516$ 纳特，任何猜测 $q = \mathcal{N}(m, s^2)$ 都超不过它。


# %%
def kl_normals(m1, v1, m2, v2):
    """KL(N(m1, v1) || N(m2, v2)) in nats."""
    return 0.5 * ((v1 + (m1 - m2) ** 2) / v2 - 1 + np.log(v2 / v1))


x, m = 1.0, np.linspace(-1, 2, 121)
log_px = -0.5 * (LN_2PI + np.log(2) + x**2 / 2)
figure = Figure((6.4, 3.4), layout="constrained")
axes = figure.subplots()
for variance, color in ((0.5, BLUE), (1.0, ORANGE), (0.1, GREEN)):
    elbo = -0.5 * (LN_2PI + (x - m) ** 2 + variance) - kl_normals(m, variance, 0, 1)
    gap = kl_normals(m, variance, x / 2, 0.5)
    assert np.allclose(elbo + gap, log_px)  # the identity above, at every m
    axes.plot(m, elbo, color=color, label=f"$s^2$ = {variance}")
axes.axhline(log_px, color="black", linestyle="--", linewidth=1)
axes.text(-0.98, log_px + 0.05, "ln p(x)")
axes.set(xlabel="m, the mean of q", ylabel="ELBO (nats)", ylim=(-4.2, -1.2))
axes.legend(frameon=False)
claim("-1.516", log_px)
show(figure, "bound", "The bound over guesses q: it touches ln p(x) only where q is the true code.")

# %% [markdown] id="kl" grad="kl"
# ## What a code costs
#
# The encoder will give two numbers for each of the $J$ dimensions of the code: $\mu$, and
# $\lambda = \ln \sigma^2$, which may be anything while $\sigma$ stays positive. In one dimension,
# with $z \sim \mathcal{N}(\mu, \sigma^2)$,
#
# $$\mathrm{E}[\ln q(z)] = -\frac{1}{2} (\ln 2\pi + \lambda + 1), \qquad
# \mathrm{E}[\ln p(z)] = -\frac{1}{2} (\ln 2\pi + \mu^2 + \sigma^2),$$
#
# because $\mathrm{E}[(z - \mu)^2] = \sigma^2$ and $\mathrm{E}[z^2] = \mu^2 + \sigma^2$. The first
# less the second, summed over dimensions, with its slopes:
#
# $$\mathrm{KL} = \frac{1}{2} \sum_j (\mu_j^2 + e^{\lambda_j} - 1 - \lambda_j), \qquad
# \frac{\partial\,\mathrm{KL}}{\partial \mu_j} = \mu_j, \qquad
# \frac{\partial\,\mathrm{KL}}{\partial \lambda_j} = \frac{1}{2} (e^{\lambda_j} - 1).$$

# %% [markdown] lang="zh" of="kl" en="cd8cfc9d"
# ## 编码的代价
#
# 编码器对编码的 $J$ 个维度各给出两个数：$\mu$，以及 $\lambda = \ln \sigma^2$。后者取什么值都行，
# $\sigma$ 总是正的。在一维情形，$z \sim \mathcal{N}(\mu, \sigma^2)$，
#
# $$\mathrm{E}[\ln q(z)] = -\frac{1}{2} (\ln 2\pi + \lambda + 1), \qquad
# \mathrm{E}[\ln p(z)] = -\frac{1}{2} (\ln 2\pi + \mu^2 + \sigma^2),$$
#
# 因为 $\mathrm{E}[(z - \mu)^2] = \sigma^2$，$\mathrm{E}[z^2] = \mu^2 + \sigma^2$。前者减后者，再
# 对各维求和，连同它的斜率：
#
# $$\mathrm{KL} = \frac{1}{2} \sum_j (\mu_j^2 + e^{\lambda_j} - 1 - \lambda_j), \qquad
# \frac{\partial\,\mathrm{KL}}{\partial \mu_j} = \mu_j, \qquad
# \frac{\partial\,\mathrm{KL}}{\partial \lambda_j} = \frac{1}{2} (e^{\lambda_j} - 1).$$


# %% check="kl"
def kl(mu, logvar):
    """KL(N(mu, e^logvar) || N(0, I)) in nats: two times (N, J) -> (N,)"""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)


def kl_backward(g, mu, logvar):
    g = g[:, None]  # (N,) -> (N, 1): one cotangent for each picture
    return g * mu, g * 0.5 * (np.exp(logvar) - 1)


rng = np.random.default_rng(0)
assert_gradients((kl, kl_backward), rng.standard_normal((5, 3)), rng.standard_normal((5, 3)))

# %% [markdown] id="samples"
# ## Two slips that samples catch
#
# A formula with four terms of either sign is easily copied wrong. Its meaning is an average, so
# check it against samples: the mean of $\ln q(z) - \ln p(z)$ over draws of $q$. For the code below
# it is 1.02 nats.
#
# * Many programs print the sum with the opposite sign as "the KL loss". -1.02 cannot be a
#   divergence, and minimising it would drive codes away from the prior.
# * Others let the network put out $\ln \sigma$, draw with $\sigma = e^{\lambda}$, and leave the
#   formula for $\ln \sigma^2$ as it is. These draws cost 2.37 nats; the formula still charges 1.02.

# %% [markdown] lang="zh" of="samples" en="1c08e306"
# ## 用样本抓住两种笔误
#
# 一个公式有四项，正负号各异，很容易抄错。它的含义是一个平均值，那就用样本来核对：从 $q$ 抽样，求
# $\ln q(z) - \ln p(z)$ 的平均。对下面这个编码，结果是 1.02 纳特。
#
# * 不少程序把这个和反号打印出来，还叫它“KL 损失”。散度不可能是 -1.02；真去最小化它，只会把编码
#   推离先验。
# * 另一些程序让网络输出 $\ln \sigma$，抽样时用 $\sigma = e^{\lambda}$，公式却仍按 $\ln \sigma^2$
#   写。这样抽出的编码实际代价是 2.37 纳特，公式仍只收 1.02。


# %%
def sampled_kl(mu, sigma, draws):
    """The mean of ln q(z) - ln p(z), and its standard error."""
    rng = np.random.default_rng(1)
    z = mu + sigma * rng.standard_normal((draws, len(mu)))
    log_q = -0.5 * (LN_2PI + ((z - mu) / sigma) ** 2) - np.log(sigma)
    difference = (log_q + 0.5 * (LN_2PI + z**2)).sum(1)
    return difference.mean(), difference.std() / np.sqrt(draws)


mu, logvar = np.array([1.0, -0.5]), np.array([-1.0, 0.8])
for name, sigma in (("e^(logvar / 2)", np.exp(logvar / 2)), ("e^logvar", np.exp(logvar))):
    print("sigma = {:15} sampled {:.3f} +- {:.3f}".format(name, *sampled_kl(mu, sigma, 200_000)))
right = kl(mu[None], logvar[None])[0]
print(f"closed form {right:.3f}; with the wrong sign {-right:.3f}")
claim("1.02", right)
claim("-1.02", -right)
claim("1.02", sampled_kl(mu, np.exp(logvar / 2), 200_000)[0], within=0.01)
claim("2.37", sampled_kl(mu, np.exp(logvar), 200_000)[0], within=0.01)
claim("2.37", kl(mu[None], 2 * logvar[None])[0])  # the same distribution, named correctly

# %% [markdown] id="draw" grad="draw"
# ## A gradient through a draw
#
# The other half, $\mathrm{E}_q[\ln p(x|z)]$, is an average over draws whose distribution depends on
# $\mu$ and $\lambda$. A draw has no derivative, until the randomness is moved out of it: with
# $\varepsilon \sim \mathcal{N}(0, I)$, drawn first,
#
# $$z = \mu + e^{\lambda / 2} \varepsilon, \qquad \bar\mu = \bar z, \qquad
# \bar\lambda = \frac{1}{2}\, \bar z\, e^{\lambda / 2} \varepsilon,$$
#
# where $\bar z$ is the slope of the loss with respect to $z$. This is the reparameterisation, and
# it belongs between encoder and decoder: $\mu$ and $\lambda$ are the encoder's, the decoder gets
# only $z$.

# %% [markdown] lang="zh" of="draw" en="6e787125"
# ## 让梯度穿过抽样
#
# 另一半 $\mathrm{E}_q[\ln p(x|z)]$ 也是对抽样取的平均，而抽样的分布依赖 $\mu$ 和 $\lambda$。抽样
# 本身没有导数，除非把随机性移到外面：先抽 $\varepsilon \sim \mathcal{N}(0, I)$，再令
#
# $$z = \mu + e^{\lambda / 2} \varepsilon, \qquad \bar\mu = \bar z, \qquad
# \bar\lambda = \frac{1}{2}\, \bar z\, e^{\lambda / 2} \varepsilon,$$
#
# 这里 $\bar z$ 是损失对 $z$ 的斜率。这就是重参数化，它的位置在编码器和解码器之间：$\mu$ 和
# $\lambda$ 属于编码器，解码器只拿到 $z$。


# %% check="draw"
def draw(mu, logvar, noise):
    return mu + np.exp(logvar / 2) * noise


def draw_backward(g, mu, logvar, noise):
    scaled = np.exp(logvar / 2) * noise
    return g, 0.5 * g * scaled, g * np.exp(logvar / 2)


assert_gradients((draw, draw_backward), *rng.standard_normal((3, 5, 2)))

# %% [markdown] id="variance"
# There is an older way, the score function, which needs no derivative of the function $f$ that is
# averaged: $\partial\, \mathrm{E}[f(z)] / \partial\mu = \mathrm{E}[f(z)\,(z - \mu)/\sigma^2]$. Both
# are right on average, and far apart on a single draw. Take $f(z) = z^2$ with $\mu = 1$ and
# $\sigma = 0.3$, about what our encoder will settle at: the true slope is 2, and the variance of
# the score function's estimate is 73 times as large. One draw a picture is enough for one of them
# only.

# %% [markdown] lang="zh" of="variance" en="08487fe3" captions={"variance": "同一个斜率的 400,000 次估计，每次只抽一个样本，用两种方法。"}
# 还有一种更老的办法，叫得分函数，不需要被平均的函数 $f$ 的导数：
# $\partial\, \mathrm{E}[f(z)] / \partial\mu = \mathrm{E}[f(z)\,(z - \mu)/\sigma^2]$。两者平均起来
# 都对，单看一次抽样却相差悬殊。取 $f(z) = z^2$，$\mu = 1$，$\sigma = 0.3$（与训练好的编码器相近）：
# 真实斜率是 2，得分函数估计的方差是另一种的 73 倍。每张图只抽一次，只有其中一种够用。

# %%
z = 1.0 + 0.3 * np.random.default_rng(2).standard_normal(400_000)
estimates = {"through the draw": 2 * z, "score function": z**2 * (z - 1.0) / 0.3**2}
figure = Figure((6.4, 2.8), layout="constrained")
axes = figure.subplots()
for (name, values), color in zip(estimates.items(), (BLUE, ORANGE)):
    axes.hist(values, np.linspace(-15, 25, 161), density=True, color=color, alpha=0.7, label=name)
    claim("2", values.mean(), within=0.05)
axes.axvline(2, color="black", linestyle="--", linewidth=1)
axes.set(xlabel="estimate of the slope from one draw (true: 2)", ylabel="density")
axes.legend(frameon=False)
path, score = (values.var() for values in estimates.values())
claim("73", score / path, within=2)
show(figure, "variance", "400,000 estimates of one slope, each from a single draw, by two methods.")

# %% [markdown] id="pixels" grad="pixels"
# ## The model
#
# The decoder's output $a$ becomes a probability of ink $y = 1/(1 + e^{-a})$ in each pixel, and
#
# $$\ln p(x|z) = \sum_i x_i \ln y_i + (1 - x_i) \ln (1 - y_i), \qquad
# \frac{\partial \ln p}{\partial a_i} = x_i - y_i.$$
#
# | tensor | shape | made by |
# |---|---|---|
# | pictures $x$ | (N, 784) | the data, 0 to 1 |
# | $\mu$, $\lambda$ | 2 times (N, 20) | the encoder, 784 to 400 to 40, cut in halves |
# | $\varepsilon$, $z$ | (N, 20) | the draw |
# | logits $a$ | (N, 784) | the decoder, 20 to 400 to 784 |
# | the two halves of the ELBO | 2 times (N,) | sums over pixels, over the code |

# %% [markdown] lang="zh" of="pixels" en="b789aeed"
# ## 模型
#
# 解码器的输出 $a$ 变成每个像素有墨的概率 $y = 1/(1 + e^{-a})$，于是
#
# $$\ln p(x|z) = \sum_i x_i \ln y_i + (1 - x_i) \ln (1 - y_i), \qquad
# \frac{\partial \ln p}{\partial a_i} = x_i - y_i.$$
#
# | 张量 | 形状 | 由谁产生 |
# |---|---|---|
# | 图像 $x$ | (N, 784) | 数据，0 到 1 |
# | $\mu$、$\lambda$ | 两个 (N, 20) | 编码器，784 到 400 到 40，再对半切开 |
# | $\varepsilon$、$z$ | (N, 20) | 抽样 |
# | 对数几率 $a$ | (N, 784) | 解码器，20 到 400 到 784 |
# | ELBO 的两半 | 两个 (N,) | 对像素求和，对编码求和 |


# %% check="pixels"
def log_likelihood(a, x):
    y = 1 / (1 + np.exp(-a))
    return (x * np.log(y) + (1 - x) * np.log(1 - y)).sum(1)


def log_likelihood_backward(g, a, x):
    return g[:, None] * (x - 1 / (1 + np.exp(-a)))


grey = rng.uniform(size=(4, 6))
assert_gradients(
    (lambda a: log_likelihood(a, grey), lambda g, a: log_likelihood_backward(g, a, grey)),
    rng.standard_normal((4, 6)),
)


# %%
class VAE(nn.Module):
    def __init__(self, latent=20, pixels=784, hidden=400):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def forward(self, x, noise=None):
        mu, logvar = self.encoder(x).chunk(2, dim=1)  # (N, 2J) -> 2 x (N, J)
        if noise is None:
            noise = minigen.randn_like(mu)
        z = mu + (0.5 * logvar).exp() * noise
        return self.decoder(z), mu, logvar


def halves(x, logits, mu, logvar):
    """-ln p(x|z) and the KL of every picture, in nats: 2 x (N,)"""
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    divergence = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return reconstruction, divergence


def negative_elbo(model, x):
    reconstruction, divergence = halves(x, *model(x))
    return (reconstruction + divergence).mean()


# %% [markdown] id="train"
# ## Training
#
# Adam, 128 digits a step, 2,000 steps; one draw of $z$ a picture. Measured is the negative ELBO of
# 1,000 digits that training never sees: so many nats it takes at most to describe one. It starts at
# 549, an even grey, and ends at 112.9, of which 25 are the code's.

# %% [markdown] lang="zh" of="train" en="2d6db7c2" captions={"training": "留出数字的负 ELBO 随步数的变化，分成两半画出。", "digits": "重建、样本，以及在编码空间里走的两段路。"}
# ## 训练
#
# 用 Adam，每步 128 个数字，共 2,000 步；每张图抽一次 $z$。衡量的是 1,000 个从不参加训练的数字上的
# 负 ELBO：描述一个这样的数字，最多要这么多纳特。它从 549（一片均匀的灰）开始，最后到 112.9，其中
# 25 是编码的代价。


# %%
def rows(split):
    return minigen.tensor(load_mnist5k(split)[0].reshape(-1, 784).astype("float32") / 255)


digits, held_out = rows("train"), rows("test")[: 100 if fast() else 1000]


@minigen.no_grad()
def measure(model, draws=1):
    """The two halves of the negative ELBO on held-out digits, in nats."""
    generator = minigen.Generator().manual_seed(1)
    found = []
    for _ in range(draws):
        noise = minigen.randn(len(held_out), model.latent, generator=generator)
        found.append([float(h.mean()) for h in halves(held_out, *model(held_out, noise))])
    return np.mean(found, axis=0)


def train(loss, steps, latent=20, watch=lambda step, model: None):
    minigen.manual_seed(0)
    model = VAE(latent)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for step in range(20 if fast() else steps):
        watch(step, model)
        optimizer.zero_grad()
        loss(model, digits[minigen.randint(len(digits), (128,))]).backward()
        optimizer.step()
    return model


curve, early = [], VAE()


def watch(step, model):
    if step % 50 == 0:
        curve.append((step, *measure(model)))
    if step == 400:
        early.load_state_dict(model.state_dict())  # kept for later


model = train(negative_elbo, 2000, watch=watch)
nats, of_code = measure(model, draws=10).sum(), measure(model, draws=10)[1]
print(f"held-out digits: {nats:.1f} nats, {of_code:.1f} of them for the code")
steps, reconstruction, divergence = np.array(curve).T
figure = Figure((6.4, 3), layout="constrained")
axes = figure.subplots()
axes.fill_between(steps, divergence, color=BLUE, label="KL: what the code costs")
total = reconstruction + divergence
axes.fill_between(
    steps, divergence, total, color=ORANGE, alpha=0.6, label="reconstruction: what it leaves open"
)
axes.set(xlabel="step", ylabel="negative ELBO (nats)", ylim=(0, 260))
axes.legend(frameon=False)
show(figure, "training", "The negative ELBO of held-out digits over the steps, in its two halves.")
claim("549", total[0], within=8)
claim("112.9", nats, trained=True, within=0.6)
claim("25", of_code, trained=True, within=1)


# %%
@minigen.no_grad()
def pictures(codes, model):
    return model.decoder(codes).sigmoid().numpy().reshape(-1, 28, 28)


def from_prior(model, count):
    noise = minigen.randn(count, model.latent, generator=minigen.Generator().manual_seed(3))
    return pictures(noise, model)


def panels(parts, name, caption):
    """Grids of pictures, one under the other, each with its title."""
    heights = [len(images) // columns for _, images, columns in parts]
    figure = Figure((7, 0.55 * sum(heights) + 0.25 * len(parts)), layout="constrained")
    for axes, (title, images, columns) in zip(
        figure.subplots(len(parts), height_ratios=heights, squeeze=False)[:, 0], parts
    ):
        axes.imshow(tile(images, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_axis_off()
    show(figure, name, caption)


means = model.encoder(held_out)[:, :20].detach()  # (N, 40) -> (N, 20), the mu of each
t = minigen.linspace(0, 1, 14)[:, None]
walk = [
    (1 - t) * means[i] + t * means[j] for i, j in ((0, 6), (7, 2))
]  # two straight lines of codes
both = np.concatenate([held_out[:14].numpy().reshape(-1, 28, 28), pictures(means[:14], model)])
panels(
    [
        ("held-out digits, and below them what their codes keep", both, 14),
        ("new digits: codes drawn from the prior", from_prior(model, 42), 14),
        (
            "from one digit to another in a straight line of codes",
            pictures(minigen.cat(walk), model),
            14,
        ),
    ],
    "digits",
    "Reconstructions, samples, and two walks through the space of codes.",
)

# %% [markdown] id="plane"
# Some samples are no digit. The prior is a ball around the origin, and between the regions that
# digits occupy there are places where the decoder mixes its neighbours. With a code of only two
# numbers the whole space can be looked at. Two numbers are too few for digits, and the bound says
# so: 170 nats after 600 steps. But it is one map, with no holes in it.

# %% [markdown] lang="zh" of="plane" en="189177e0" captions={"plane": "两个数的编码平面：横竖各从 -2.1 到 2.1，在 15 × 15 个位置上解码。"}
# 有些样本不成数字。先验是原点周围的一个球，各种数字占据的区域之间还有空隙，解码器在那里把邻近的数
# 字混在一起。编码若只有两个数，整个空间便一目了然。两个数对这些数字来说太少，下界也这么说：600 步
# 之后是 170 纳特。但这是一张完整的地图，中间没有空洞。

# %%
plane = train(negative_elbo, 600, latent=2)
axis = minigen.linspace(-2.1, 2.1, 15)
y, x = minigen.meshgrid(axis.flip(0), axis, indexing="ij")
places = minigen.stack([x, y], dim=-1).reshape(-1, 2)  # (15, 15, 2) -> (225, 2)
show(
    png(tile(pictures(places, plane), 15, gap=0), scale=1),
    "plane",
    "The plane of two-number codes, each from -2.1 to 2.1, decoded at 15 by 15 places.",
)
claim("170", measure(plane).sum(), trained=True, within=4)

# %% [markdown] id="break"
# ## Break it
#
# Three programs that look almost like the one above, 400 steps each. Before you read on, say of
# each what happens to $\sigma$, to the samples, and to the loss it prints.
#
# 1. **No sampling**: the decoder gets $\mu$.
# 2. **No KL**: the reconstruction alone.
# 3. **Means for sums**: `reduction="mean"` over pixels, and a mean over the 20 numbers of the code
#    as well. Multiply that loss by 784: it is the reconstruction plus 784/20 = 39.2 times the KL.
#    The choice of a reduction has become a weight $\beta$.

# %% [markdown] lang="zh" of="break" en="8939d6ac" captions={"broken": "同样的 14 个先验样本，由四个模型分别解码。"}
# ## 故意弄坏
#
# 下面三个程序与上面的几乎一样，各训练 400 步。往下读之前，先分别说说：$\sigma$ 会怎样，样本会怎样，
# 打印出来的损失会怎样。
#
# 1. **不抽样**：解码器直接拿到 $\mu$。
# 2. **不要 KL**：只剩重构一项。
# 3. **以平均代替求和**：对像素用 `reduction="mean"`，对编码的 20 个数也取平均。把这个损失乘以 784，
#    得到的是重构加上 784/20 = 39.2 倍的 KL。选一个归约方式，就等于选了一个权重 $\beta$。


# %%
def no_sampling(model, x):
    return sum(halves(x, *model(x, minigen.zeros(len(x), model.latent)))).mean()


def no_kl(model, x):
    return halves(x, *model(x))[0].mean()


def means_for_sums(model, x):
    reconstruction, divergence = halves(x, *model(x))
    return (reconstruction / 784).mean() + (divergence / model.latent).mean()


minigen.manual_seed(5)
scaled = 784 * means_for_sums(early, held_out)
minigen.manual_seed(5)  # the same draws again
reconstruction, divergence = halves(held_out, *early(held_out))
assert minigen.allclose(scaled, (reconstruction + 39.2 * divergence).mean(), rtol=1e-4)

runs = {"right": (early, negative_elbo)}
for loss in (no_sampling, no_kl, means_for_sums):
    runs[loss.__name__] = train(loss, 400), loss
reference = digit_features(held_out.numpy().reshape(-1, 28, 28))
results = {}
print("loss             prints   -ELBO = reconstruction + KL     sigma  Frechet")
for name, (trained, loss) in runs.items():
    minigen.manual_seed(4)
    printed, parts = float(loss(trained, held_out).detach()), measure(trained)
    sigma = float((trained.encoder(held_out)[:, trained.latent :] / 2).exp().mean().detach())
    made = digit_features(from_prior(trained, len(held_out)))
    row = (printed, parts.sum(), *parts, sigma, frechet_distance(made, reference))
    print("{:14} {:8.2f} {:7.1f} = {:9.1f} {:10.2f} {:10.3f} {:8.0f}".format(name, *row))
    results[name] = row
claim("39.2", 784 / 20)
told = [  # (text, row, column, within)
    ("131.9", "right", 0, 4), ("111", "right", 2, 4), ("630", "right", 5, 120),
    ("97.9", "no_sampling", 0, 5), ("275", "no_sampling", 1, 50), ("1.00", "no_sampling", 4, 0.01),
    ("294", "no_sampling", 5, 80), ("93", "no_kl", 2, 4), ("281", "no_kl", 3, 60),
    ("0.015", "no_kl", 4, 0.008), ("0.27", "means_for_sums", 0, 0.01),
    ("0.01", "means_for_sums", 3, 0.02),
]  # fmt: skip
for text, name, column, within in told:
    claim(text, results[name][column], trained=True, within=within)
panels(
    [(name, from_prior(trained, 14), 14) for name, (trained, _) in runs.items()],
    "broken",
    "The same 14 draws from the prior, decoded by each of the four.",
)

# %% [markdown] id="after"
# The first prints 97.9 where the right one prints 131.9, and its 97.9 is the bound of nothing:
# with the draw that the formula is about, it is 275. Nothing but the KL acts on $\sigma$ any more,
# so $\sigma = 1.00$; the decoder has never seen a $z$ beside $\mu$. It is an autoencoder whose
# codes are held near the origin, and its samples are *not* worse: their Fréchet distance from real
# digits (`minigen.metrics`; lower is closer) is 294, the right one's 630. A good picture is one thing and
# a bound on a likelihood another; say which of them you have.
#
# The second explains digits best, 93 nats for 111, by a code that costs 281: $\sigma$ shrinks to
# 0.015 and the codes spread out, to where the prior never draws. Its samples are dirt. The third
# prints a harmless 0.27. Its KL is 0.01: a code that costs 39 times too much is not used at all,
# and every sample is the average digit.

# %% [markdown] lang="zh" of="after" en="c2e316ba"
# 第一个程序打印 97.9，正确的程序打印 131.9。但这个 97.9 不是任何东西的下界：按公式的本意把抽样放
# 回去，是 275。现在只有 KL 还管着 $\sigma$，于是 $\sigma = 1.00$；解码器从没见过 $\mu$ 旁边的 $z$。
# 它是一个把编码拢在原点附近的自编码器，而且样本*并不*更差：与真实数字的 Fréchet 距离
# （`minigen.metrics`，越小越近）是 294，正确的那个是 630。图画得好是一回事，似然的下界是另一回事；要说清楚自己有的是哪
# 一样。
#
# 第二个程序解释数字最好，93 纳特对 111，靠的是一个代价高达 281 的编码：$\sigma$ 缩到 0.015，各个
# 编码四散开去，散到先验从来抽不到的地方。它的样本是一团脏污。第三个程序打印出人畜无害的 0.27，KL
# 只有 0.01：编码贵了 39 倍，干脆不用，每个样本都是同一个平均数字。

# %% [markdown] id="exercise" exercise="tighter_bound"
# ## Exercise: how loose is the bound?
#
# One draw gives the ELBO. Average the weights of $K$ draws *under* the logarithm and you get more
# (Y. Burda and others, "Importance Weighted Autoencoders", arXiv 1509.00519):
#
# $$L_K = \ln \frac{1}{K} \sum_{k=1}^{K} \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \qquad
# z_k \sim q(z|x).$$
#
# Its mean is the ELBO for $K = 1$, and rises to $\ln p(x)$ as $K$ grows. Write it in NumPy. Stay
# in logarithms: the weights of a digit are near $e^{-100}$, and `np.logaddexp.reduce` adds numbers
# that are given by their logarithms.

# %% [markdown] lang="zh" of="exercise" en="ea710ff8"
# ## 练习：这个下界有多松？
#
# 抽一次得到 ELBO。把 $K$ 次抽样的权重放到对数*里面*取平均，得到的更大（Y. Burda 等，“Importance
# Weighted Autoencoders”，arXiv 1509.00519）：
#
# $$L_K = \ln \frac{1}{K} \sum_{k=1}^{K} \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \qquad
# z_k \sim q(z|x).$$
#
# $K = 1$ 时它的平均就是 ELBO，随着 $K$ 增大升向 $\ln p(x)$。用 NumPy 写出来，并且一直留在对数里：
# 一个数字的权重大约是 $e^{-100}$；`np.logaddexp.reduce` 可以把以对数给出的数相加。


# %% solution="tighter_bound"
def tighter_bound(log_likelihood, z, mu, logvar):
    """L_K of N pictures from K draws: (K, N), (K, N, J), (N, J), (N, J) -> (N,)"""
    # BEGIN SOLUTION
    log_prior = -0.5 * (LN_2PI + z**2).sum(-1)  # (K, N, J) -> (K, N)
    squares = (z - mu) ** 2 / np.exp(logvar)
    log_q = -0.5 * (LN_2PI + logvar + squares).sum(-1)
    log_weights = log_likelihood + log_prior - log_q
    return np.logaddexp.reduce(log_weights, axis=0) - np.log(len(z))
    # END SOLUTION


# %% [markdown] id="known"
# The normal distributions from the beginning are the test: there we know $\ln p(x)$. With the true
# code as $q$, every weight is $p(x)$, whatever was drawn and however often. With the prior as $q$,
# $L_K$ has to climb from the ELBO to the truth.

# %% [markdown] lang="zh" of="known" en="82188e33"
# 用开头的正态分布来检验，那里 $\ln p(x)$ 是已知的。以真实的编码分布为 $q$，不论抽到什么、抽几次，
# 每个权重都等于 $p(x)$。以先验为 $q$，$L_K$ 就得从 ELBO 一步步升到真值。


# %%
def bounds_of_normals(mu, logvar, k):
    """L_K of x = 1, 4,000 times over: for p(z) = N(0, 1) and p(x|z) = N(z, 1)."""
    mu, logvar = np.full((4000, 1), mu), np.full((4000, 1), logvar)
    z = draw(mu, logvar, np.random.default_rng(5).standard_normal((k, 4000, 1)))
    return tighter_bound(-0.5 * (LN_2PI + (1 - z[..., 0]) ** 2), z, mu, logvar)


for k in (1, 7):
    assert np.allclose(bounds_of_normals(0.5, np.log(0.5), k), log_px), "q is p(z|x): exact"
climbing = [bounds_of_normals(0.0, 0.0, k).mean() for k in (1, 10, 100)]
print("L_1, L_10, L_100 with q = p(z):", np.round(climbing, 3), " ln p(x):", round(log_px, 3))
assert abs(climbing[0] + 0.5 * (LN_2PI + 2)) < 0.05, "L_1 is, on average, the ELBO"
assert climbing[0] < climbing[1] < climbing[2] < log_px + 0.01
assert log_px - climbing[2] < 0.02, "L_100 is nearly ln p(x)"

# %% [markdown] id="measure"
# ## One honest measurement
#
# The recipe `minigen train vae` has this network, this data and as many steps; its mean over three
# seeds is 112.5 nats. Ours, 112.9, is one seed of the same. On the first 200 held-out digits, 200
# weighted draws each bring the bound from 111.8 down to 106.4 nats: 5.4 of them, at least, told of
# the looseness of $q$ and not of the digits.

# %% [markdown] lang="zh" of="measure" en="adc26728"
# ## 一次诚实的测量
#
# 配方 `minigen train vae` 用的是同样的网络、同样的数据、同样的步数，三个随机种子的平均是 112.5 奈
# 特。我们的 112.9 是其中一个种子那样的结果。在前 200 个未参加训练的数字上，每个抽 200 次并加权，
# 结果从 111.8 降到 106.4 纳特：其中至少有 5.4 说的是 $q$ 不够准，而不是这些数字本身。


# %%
@minigen.no_grad()
def tightened(model, x, draws, seed):
    mu, logvar = model.encoder(x).chunk(2, dim=1)
    noise = np.random.default_rng(seed).standard_normal((draws, *mu.shape)).astype("float32")
    z = draw(mu.numpy(), logvar.numpy(), noise)
    fits = [-halves(x, model.decoder(minigen.tensor(one)), mu, logvar)[0].numpy() for one in z]
    return tighter_bound(np.stack(fits), z, mu.numpy(), logvar.numpy()).mean()


RECIPE = 112.5  # benchmarks/results/quality_vae.json, mean of three seeds
some, many = held_out[:200], 10 if fast() else 200
single = np.mean([tightened(model, some, 1, seed) for seed in range(10)])
tight = tightened(model, some, many, 0)
print(f"first 200 digits: {-single:.1f} nats by the ELBO, {-tight:.1f} by L_{many}")
claim("112.5", RECIPE)
assert fast() or abs(nats - RECIPE) < 1
claim("111.8", -single, trained=True, within=0.9)
claim("106.4", -tight, trained=True, within=0.9)
claim("5.4", tight - single, trained=True, within=0.5)

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.models.vae` has this model as `VAE`, with `ConvVAE` for pictures that know their
# neighbours, and `reparameterize`, `kl_divergence` and `elbo` as functions; there, pixels may be
# Gaussian, too. `minigen.models.importance_weighting` is the exercise. `minigen.distributions` has
# `kl_divergence` of many pairs, and `rsample`, the draw with a gradient. `minigen train vae`
# trains, draws the walks, and measures what we have measured.
#
# You can now solve assignment A5; `minigen classroom build tutorials/assignments/a5_vae` makes
# its sheet. As a last check here, our weights in minigen's model.

# %% [markdown] lang="zh" of="use" en="61abfa29"
# ## 现在可以用的
#
# `minigen.models.vae` 里有这个模型 `VAE`，还有懂得像素相邻关系的 `ConvVAE`，以及函数
# `reparameterize`、`kl_divergence`、`elbo`；在那里像素也可以服从正态分布。
# `minigen.models.importance_weighting` 就是本章的练习。`minigen.distributions` 里有多种分布对的
# `kl_divergence`，还有 `rsample`，即带梯度的抽样。`minigen train vae` 训练、画出这些路径，并测量
# 我们测过的东西。
#
# 现在可以做作业 A5 了，题目由 `minigen classroom build tutorials/assignments/a5_vae` 生成。本章最
# 后再核对一次：把我们的权重放进 minigen 的模型。

# %%
theirs = library.VAE()
ours = model.state_dict()
first, last = ours["encoder.2.weight"], ours["encoder.2.bias"]  # (40, 400), (40,): mu over logvar
theirs.load_state_dict(
    {
        "fc1.weight": ours["encoder.0.weight"], "fc1.bias": ours["encoder.0.bias"],
        "fc21.weight": first[:20], "fc21.bias": last[:20],
        "fc22.weight": first[20:], "fc22.bias": last[20:],
        "fc3.weight": ours["decoder.0.weight"], "fc3.bias": ours["decoder.0.bias"],
        "fc4.weight": ours["decoder.2.weight"], "fc4.bias": ours["decoder.2.bias"],
    }
)  # fmt: skip
noise = minigen.zeros(len(held_out), 20)
logits, mu, logvar = theirs(held_out, noise)
page = sum(halves(held_out, *model(held_out, noise)))
assert minigen.allclose(-library.elbo(logits, held_out, mu, logvar), page, rtol=1e-5)
print("minigen.models.vae computes what this page computes")
