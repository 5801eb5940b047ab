# %% [markdown] id="intro"
# # A5 · The loss of a VAE
#
# A variational autoencoder explains an image $x$ by a code $z$. The decoder says how likely the
# image is given the code, $p(x|z)$; the encoder guesses the code from the image, $q(z|x)$. Nobody
# can compute $\ln p(x)$ itself, but there is a lower bound of it, the ELBO:
#
# $$\ln p(x) \ge \mathbb{E}_{q(z|x)} [\ln p(x|z)] - \mathrm{KL}(q(z|x) \,\|\, p(z)).$$
#
# Most programs that train badly, or whose numbers cannot be compared with a paper's, have one of
# a few small mistakes in exactly these lines: a sign, a mean where a sum belongs, $\ln \sigma$
# taken for $\ln \sigma^2$. You write every term, and the checks look for these mistakes by name.
#
# The prior is $p(z) = N(0, I)$. The encoder gives the mean `mu` and `logvar`, which is $\ln
# \sigma^2$, of $q(z|x) = N(\mu, \sigma^2)$: arrays of N images by J latent numbers. The decoder
# gives `logits` of D pixels: the probability that pixel $i$ is white is $y_i = 1 / (1 +
# e^{-l_i})$. All logarithms are natural, all results are in nats.
#
# Your functions take and return minigen's Tensors, so that autograd can differentiate them.
# `@for_arrays`, below, lets the tests call them with NumPy arrays; `slopes` returns their
# gradients. Write with Tensors' own operations only: an array has no gradient.

# %% [markdown] lang="zh" of="intro" en="65a8a39e"
# # A5 · VAE 的损失函数
#
# 变分自编码器用编码 $z$ 来解释图像 $x$。解码器给出已知编码时图像的可能性 $p(x|z)$；编码器从图像反
# 推编码，即 $q(z|x)$。$\ln p(x)$ 本身算不出来，但它有一个下界，叫 ELBO：
#
# $$\ln p(x) \ge \mathbb{E}_{q(z|x)} [\ln p(x|z)] - \mathrm{KL}(q(z|x) \,\|\, p(z)).$$
#
# 凡是训练效果不好、或者数字没法同论文比较的程序，毛病大多就出在这几行里，而且翻来覆去就那几种：符
# 号反了，该求和的地方取了平均，把 $\ln \sigma$ 当成了 $\ln \sigma^2$。这里每一项都由你来写，测试
# 会逐个辨认这些错误，并叫出它们的名字。
#
# 先验是 $p(z) = N(0, I)$。编码器给出 $q(z|x) = N(\mu, \sigma^2)$ 的均值 `mu` 和 `logvar`，后者是
# $\ln \sigma^2$；两者都是 N 张图像乘 J 个隐变量的数组。解码器给出 D 个像素的 `logits`：第 $i$ 个
# 像素为白的概率是 $y_i = 1 / (1 + e^{-l_i})$。对数一律是自然对数，结果一律以 nat 为单位。
#
# 你的函数接受并返回 minigen 的 Tensor，这样自动微分才能对它们求导。下面的 `@for_arrays` 让测试可
# 以用 NumPy 数组来调用；`slopes` 返回它们的梯度。请只用 Tensor 自己的运算：数组是没有梯度的。

# %%
import functools

import numpy as np

import minigen
from minigen.nn import functional as F


def for_arrays(function):
    """Let a function of Tensors be called with arrays, too: it then answers with an array."""

    @functools.wraps(function)
    def called(*arguments):
        arrays = any(isinstance(a, np.ndarray) for a in arguments)
        made = [minigen.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
        out = function(*made)
        return out.numpy() if arrays and isinstance(out, minigen.Tensor) else out

    return called


def slopes(name, g, *arrays):
    """By autograd, the slope of sum(g * out) with respect to each array, where out is what your
    function `name` makes of them; zeros for an array that out is cut off from."""
    inputs = [minigen.tensor(a, requires_grad=True) for a in arrays]
    out = globals()[name](*inputs)
    if not out.requires_grad:
        return tuple(np.zeros_like(a) for a in arrays)
    found = minigen.autograd.grad(out, inputs, minigen.tensor(g), materialize_grads=True)
    return tuple(slope.numpy() for slope in found)


# %% [markdown] id="checking"
# ## How the tests look at your numbers
#
# `compare` is used by all of them. It knows what each mistake would give, and says so.

# %% [markdown] lang="zh" of="checking" en="76308fa9"
# ## 测试怎样看你的数字
#
# 所有测试都用 `compare`。它知道每种错误会得出什么数，认出来就直说。


# %%
def away_from_zero(rng, *shape):
    """Random numbers between 0.5 and 1.5, half of them negative: no mistake hides behind a 0."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def compare(got, want, what, mistakes=(), within=1e-6):
    """Whether `got` is `want` up to `within`; mistakes: pairs (what it would give, its name)."""
    got, want = np.asarray(got), np.asarray(want)

    def same(value):
        value = np.asarray(value)
        return value.shape == got.shape and np.allclose(got, value, rtol=within, atol=within)

    for value, name in mistakes if not same(want) else ():
        assert not same(value), f"{what}: {name}"
    assert got.shape == want.shape, f"{what}: should be of shape {want.shape}, is {got.shape}"
    assert np.isfinite(got).all(), f"{what}: not finite, {got}, expected {want}"
    worst = tuple(map(int, np.unravel_index(np.argmax(np.abs(got - want)), want.shape)))
    where = f" (at {list(worst)})" if worst else ""
    assert same(want), f"{what}: {got[worst]:.6g}, expected {want[worst]:.6g}{where}"


def log_normal(z, mean, sigma):
    """ln N(z; mean, sigma^2), number by number."""
    return -0.5 * ((z - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def sampled_kl(mean, sigma, draws):
    """KL(q || p) of each latent number, estimated from draws of q instead of on paper: (N, J)."""
    z = np.random.default_rng(0).normal(mean, sigma, (draws, *mean.shape))
    return (log_normal(z, mean, sigma) - log_normal(z, 0.0, 1.0)).mean(axis=0)


# %% [markdown] id="kl"
# ## The divergence
#
# $\mathrm{KL}(q \| p) = \mathbb{E}_q [\ln q(z) - \ln p(z)]$ says how many nats the code tells
# beyond the prior. For two normal distributions the expectation can be taken on paper. Do that
# for one latent number, using $\mathbb{E}_q[z] = \mu$ and $\mathbb{E}_q[z^2] = \mu^2 + \sigma^2$,
# and write `kl(mu, logvar)`: (N, J) and (N, J) to one number for each image, (N,). The numbers of
# a code are independent, so their nats add up.
#
# The test does it the other way: it draws 30,000 codes and averages. Two derivations that agree
# are worth more than one that looks right.

# %% [markdown] lang="zh" of="kl" en="27ab20ca"
# ## 散度
#
# $\mathrm{KL}(q \| p) = \mathbb{E}_q [\ln q(z) - \ln p(z)]$ 说的是：编码比先验多讲了多少 nat。对
# 两个正态分布，这个期望可以在纸上算出来。请对一个隐变量推一遍，用到 $\mathbb{E}_q[z] = \mu$ 和
# $\mathbb{E}_q[z^2] = \mu^2 + \sigma^2$，然后写出 `kl(mu, logvar)`：输入两个 (N, J)，每张图像给一
# 个数，(N,)。编码的各个数相互独立，所以它们的 nat 要加起来。
#
# 测试走的是另一条路：抽 30,000 个编码再取平均。两条路得出同一个数，胜过一条看上去没错的路。


# %% solution="kl" without="kl_divergence models distributions"
@for_arrays
def kl(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, I)) of each image in nats, logvar = ln sigma^2: (N, J) -> (N,)."""
    # BEGIN SOLUTION
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    # END SOLUTION


# %% test="kl" points=6
def test_kl(kl, rng):
    """the mean of ln q - ln p over 30,000 draws from q, to within 5 hundredths"""
    mu, logvar = away_from_zero(rng, 2, 3), away_from_zero(rng, 2, 3)

    def nats(sigma):
        return sampled_kl(mu, sigma, 30_000)

    each = nats(np.sqrt(np.exp(logvar)))
    mistakes = [
        (-each.sum(1), "the sign is wrong: a divergence is never negative"),
        (each.mean(1), "averaged over the latent numbers; nats add up"),
        (each.mean(), "averaged over latent numbers and images; nats add up, image by image"),
        (each, "one number for each image is asked for: add up the latent numbers"),
        (nats(np.exp(logvar)).sum(1), "logvar is taken for ln sigma; it is ln sigma squared"),
        (2 * each.sum(1), "twice too large"),
    ]
    compare(kl(mu, logvar), each.sum(1), "KL against 30,000 draws", mistakes, within=0.05)


# %% test="kl, exactly" points=4 hidden=true
def test_kl_exactly(kl, slopes, rng):
    """one image, one latent number, a posterior equal to the prior, and the gradients"""
    for n, j in ((1, 1), (1, 5), (6, 1), (3, 4)):
        mu, logvar = rng.normal(size=(2, n, j))
        want = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)
        compare(kl(mu, logvar), want, f"KL of {n} images and {j} latent numbers")
    compare(kl(np.zeros((2, 3)), np.zeros((2, 3))), np.zeros(2), "KL of the prior to itself")
    g = rng.normal(size=3)
    of_mu, of_logvar = slopes("kl", g, mu, logvar)
    compare(of_mu, g[:, None] * mu, "the slope with respect to mu", within=1e-9)
    want = g[:, None] * 0.5 * (np.exp(logvar) - 1)
    compare(of_logvar, want, "the slope with respect to logvar", within=1e-9)


# %% [markdown] id="logsigma"
# ## Which logarithm?
#
# Another library's encoder ends in `log_sigma`, which is $\ln \sigma$, not $\ln \sigma^2$. Both
# are numbers around 0, nothing crashes, and the loss goes down. Write its divergence by calling
# your `kl`.

# %% [markdown] lang="zh" of="logsigma" en="e3ad3d43"
# ## 是哪个对数？
#
# 另一个库的编码器最后输出的是 `log_sigma`，即 $\ln \sigma$，而不是 $\ln \sigma^2$。两者都是 0 附
# 近的数，混用也不会报错，损失照样下降。请调用你的 `kl` 写出它的散度。


# %% solution="ln sigma" without="kl_divergence models distributions"
@for_arrays
def kl_of_log_sigma(mu, log_sigma):
    """KL(N(mu, sigma^2) || N(0, I)) of each image, from ln sigma: (N, J) -> (N,)."""
    # BEGIN SOLUTION
    return kl(mu, 2 * log_sigma)
    # END SOLUTION


# %% test="ln sigma" points=4
def test_log_sigma(kl_of_log_sigma, rng):
    """the mean of ln q - ln p over 30,000 draws from q, to within 5 hundredths"""
    mu, log_sigma = away_from_zero(rng, 2, 3), away_from_zero(rng, 2, 3) / 2
    want = sampled_kl(mu, np.exp(log_sigma), 30_000).sum(1)
    taken = sampled_kl(mu, np.sqrt(np.exp(log_sigma)), 30_000).sum(1)
    mistakes = [(taken, "ln sigma is taken for ln sigma squared")]
    got = kl_of_log_sigma(mu, log_sigma)
    compare(got, want, "KL from ln sigma against 30,000 draws", mistakes, within=0.05)


# %% [markdown] id="likelihood"
# ## The likelihood, from logits
#
# Each pixel is a coin: $\ln p(x|z) = \sum_i x_i \ln y_i + (1 - x_i) \ln (1 - y_i)$. The decoder
# gives the logits $l$, not $y$, and for a reason. At $l = 40$ the float64 number nearest to $y$
# is 1, and the logarithm of $1 - y$ is $-\infty$, where it should be $-40$. A small number inside
# the logarithm only hides that: the value stops growing, the gradient is 0, and the worst pixel
# of all is the one that nobody corrects.
#
# Write `log_likelihood(logits, x)`, two times (N, D) to (N,), so that it is right for logits of
# any size. `F` has `sigmoid`, `softplus` and `logsigmoid`; the ready-made binary cross-entropies
# are not allowed here. Pixels may be grey, anything from 0 to 1.

# %% [markdown] lang="zh" of="likelihood" en="2995cf0f"
# ## 从 logits 算似然
#
# 每个像素是一枚硬币：$\ln p(x|z) = \sum_i x_i \ln y_i + (1 - x_i) \ln (1 - y_i)$。解码器给出的是
# logits $l$，而不是 $y$，这有道理。$l = 40$ 时，离 $y$ 最近的 float64 数就是 1，$1 - y$ 的对数成
# 了 $-\infty$，而它本该是 $-40$。在对数里加一个小数只是把问题遮住：值不再增长，梯度为 0，错得最厉
# 害的那个像素恰恰没有人去纠正。
#
# 请写 `log_likelihood(logits, x)`，输入两个 (N, D)，输出 (N,)，logits 无论多大都要对。`F` 里有
# `sigmoid`、`softplus` 和 `logsigmoid`；现成的二元交叉熵这里不准用。像素可以是灰的，取 0 到 1 之
# 间的任何值。


# %% solution="likelihood" without="*cross_entropy* BCE* models distributions"
@for_arrays
def log_likelihood(logits, x):
    """ln p(x|z) of each image in nats, for pixels in [0, 1]: two times (N, D) -> (N,)."""
    # BEGIN SOLUTION
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(1)
    # END SOLUTION


# %% test="likelihood" points=5
def test_likelihood(log_likelihood, rng):
    """the formula with y itself, where y is not close to 0 or 1"""
    logits, x = rng.normal(size=(4, 6)), rng.uniform(size=(4, 6))
    y = 1 / (1 + np.exp(-logits))
    each = x * np.log(y) + (1 - x) * np.log(1 - y)
    mistakes = [
        (-each.sum(1), "the sign is that of a loss; a logarithm of probabilities is negative"),
        (each.mean(1), "averaged over the pixels; nats add up"),
        (each.mean(), "averaged over pixels and images; nats add up, image by image"),
        ((x * np.log(y)).sum(1), "what dark pixels say, the term with 1 - x, is missing"),
        ((x * np.log(1 - y) + (1 - x) * np.log(y)).sum(1), "light and dark are exchanged"),
    ]
    compare(log_likelihood(logits, x), each.sum(1), "ln p(x|z)", mistakes)


# %% test="likelihood, large logits" points=5 hidden=true
def test_likelihood_large(log_likelihood, slopes, rng):
    """logits up to 1000, right and wrong ones, and the gradients there"""
    for size in (20.0, 40.0, 1000.0):
        for light in (0.0, 1.0):
            for sign in (-1, 1):
                logits, x = np.full((1, 1), sign * size), np.full((1, 1), light)
                want = 0.0 if sign == (1 if light else -1) else -size
                what = f"ln p of a pixel {light:g} at a logit of {sign * size:g}"
                (got,) = np.asarray(log_likelihood(logits, x)).ravel()
                assert np.isfinite(got), f"{what}: {got}, expected {want:g}"
                capped = want < got < 0.3 * want
                told = ": something small inside the logarithm caps it" if capped else ""
                assert abs(got - want) < 1e-4, f"{what}: {got:.6g}, expected {want:g}{told}"
                slope = float(slopes("log_likelihood", np.ones(1), logits, x)[0][0, 0])
                want = light - (sign + 1) / 2
                what = f"the slope with respect to a logit of {sign * size:g}, the pixel {light:g}"
                assert abs(slope - want) < 1e-6, f"{what}: {slope:.6g}, expected {want:g}"
    logits, x = rng.normal(size=(2, 3)), rng.uniform(size=(2, 3))
    of_logits, _ = slopes("log_likelihood", np.ones(2), logits, x)
    compare(of_logits, x - 1 / (1 + np.exp(-logits)), "the slope with respect to the logits")


# %% [markdown] id="draw"
# ## A draw that can be differentiated
#
# The expectation of $\ln p(x|z)$ is estimated with one draw of $z$ from $q(z|x)$. A random number
# has no slope; so it is written as a function of noise that knows nothing of the encoder,
# $\epsilon \sim N(0, I)$, and of $\mu$ and $\sigma$: $z = \mu + \sigma \epsilon$. The noise is
# handed to you. Write `reparameterise(mu, logvar, noise)`, three times (N, J) to (N, J).
#
# One test looks at 1,000 draws: at their mean and at their variance. The other looks at the
# slopes, which must come through to both `mu` and `logvar`: an encoder that gets none never
# learns how sure it may be.

# %% [markdown] lang="zh" of="draw" en="9e61a407"
# ## 可以求导的抽样
#
# $\ln p(x|z)$ 的期望用从 $q(z|x)$ 抽出的一个 $z$ 来估计。随机数没有斜率；所以把它写成 $\mu$、
# $\sigma$ 和噪声的函数：$z = \mu + \sigma \epsilon$，其中噪声 $\epsilon \sim N(0, I)$ 与编码器无关
# ，由外面交给你。请写 `reparameterise(mu, logvar, noise)`，输入三个 (N, J)，输出 (N, J)。
#
# 一个测试看 1,000 次抽样的均值和方差。另一个看斜率：`mu` 和 `logvar` 都必须收到斜率，收不到的编
# 码器永远学不会自己该有几分把握。


# %% solution="reparameterise" without="models distributions"
@for_arrays
def reparameterise(mu, logvar, noise):
    """A draw of N(mu, sigma^2), logvar = ln sigma^2, out of noise ~ N(0, I): all (N, J)."""
    # BEGIN SOLUTION
    return mu + (0.5 * logvar).exp() * noise
    # END SOLUTION


# %% test="draws" points=5
def test_draws(reparameterise, rng):
    """1,000 draws have the mean mu and the variance exp(logvar)"""
    mu, logvar = away_from_zero(rng, 3), away_from_zero(rng, 3)
    noise = rng.standard_normal((1000, 3))
    noise = (noise - noise.mean(0)) / noise.std(0)  # mean 0 and variance 1, not only nearly
    z = np.asarray(reparameterise(np.tile(mu, (1000, 1)), np.tile(logvar, (1000, 1)), noise))
    assert z.shape == noise.shape, f"draws of shape {noise.shape} are asked for, not {z.shape}"
    variance = np.exp(logvar)
    mistakes = [
        (0 * variance, "it is 0: nothing is drawn, z is always the same"),
        (logvar**2, "logvar itself is taken for sigma"),
        (variance**2, "the noise is multiplied by the variance, not by sigma"),
        (np.sqrt(variance), "the half of logvar is taken once too often"),
        (np.ones(3), "the noise is not multiplied by anything"),
    ]
    compare(z.var(axis=0), variance, "the variance of the draws", mistakes)
    compare(z.mean(axis=0), mu, "the mean of the draws")


# %% test="slopes of a draw" points=5
def test_draw_slopes(reparameterise, slopes, rng):
    """mu and logvar get the slopes that difference quotients have"""
    mu, logvar, noise = (away_from_zero(rng, 3, 2) for _ in range(3))
    g, h = away_from_zero(rng, 3, 2), 1e-6
    of_mu, of_logvar, _ = slopes("reparameterise", g, mu, logvar, noise)
    cut = "it is 0: the draw is cut off from it (detach, no_grad or an array on the way?)"
    up, down = reparameterise(mu + h, logvar, noise), reparameterise(mu - h, logvar, noise)
    compare(of_mu, g * (up - down) / (2 * h), "the slope with respect to mu", [(0 * g, cut)])
    up, down = reparameterise(mu, logvar + h, noise), reparameterise(mu, logvar - h, noise)
    want = g * (up - down) / (2 * h)
    compare(of_logvar, want, "the slope with respect to logvar", [(0 * g, cut)])


# %% test="one draw, exactly" points=2 hidden=true
def test_draw_exactly(reparameterise, rng):
    """sigma times the noise, added to mu: for one image, for one latent number"""
    for n, j in ((1, 1), (1, 4), (5, 1)):
        mu, logvar, noise = rng.normal(size=(3, n, j))
        what = f"z of {n} images and {j} latent numbers"
        compare(reparameterise(mu, logvar, noise), mu + np.exp(logvar / 2) * noise, what)


# %% [markdown] id="elbo"
# ## The bound
#
# Now put it together: `elbo(logits, x, mu, logvar, beta)` returns *one* number, the mean over the
# images of $\ln p(x|z) - \beta\, \mathrm{KL}$, in nats an image, to be made large. With $\beta =
# 1$ it is the bound; other values are those of the β-VAE.

# %% [markdown] lang="zh" of="elbo" en="c0c05986"
# ## 下界
#
# 现在合起来：`elbo(logits, x, mu, logvar, beta)` 返回*一个*数，即
# $\ln p(x|z) - \beta\, \mathrm{KL}$ 对图像的平均，单位是每张图像多少 nat，越大越好。$\beta = 1$ 时
# 就是那个下界；取别的值便是 β-VAE。


# %% solution="elbo" without="kl_divergence models distributions"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    """The mean of ln p(x|z) - beta KL over the images: (N, D) twice, (N, J) twice -> ()."""
    # BEGIN SOLUTION
    return (log_likelihood(logits, x) - beta * kl(mu, logvar)).mean()
    # END SOLUTION


# %%
def images(rng, count, pixels, latents):
    """Logits, pixels, mu and logvar of so many images."""
    logits, x = rng.normal(size=(count, pixels)), rng.uniform(size=(count, pixels))
    return logits, x, away_from_zero(rng, count, latents), away_from_zero(rng, count, latents)


# %% test="elbo" points=6
def test_elbo(elbo, log_likelihood, kl, rng):
    """what your own log_likelihood and kl give, for beta = 1 and beta = 4"""
    logits, x, mu, logvar = images(rng, 4, 6, 3)
    fit, told = np.asarray(log_likelihood(logits, x)), np.asarray(kl(mu, logvar))
    for name, values in (("log_likelihood", fit), ("kl", told)):
        assert values.any(), f"your {name} is 0 everywhere: put it right first"
    for beta in (1.0, 4.0):
        want = (fit - beta * told).mean()
        mistakes = [
            (-want, "the sign is that of a loss; the bound is to be made large"),
            (4 * want, "summed over the images; it is a mean over them"),
            (fit - beta * told, "one number is asked for: the mean over the images"),
            ((fit + beta * told).mean(), "the divergence is added; it has to be paid"),
            ((fit - told).mean(), "beta is not used"),
            (fit.mean() / 6 - beta * told.mean() / 3, "means over pixels and latent numbers"),
            (fit.mean() / 6 - beta * told.mean(), "a mean over the pixels"),
        ]
        compare(elbo(logits, x, mu, logvar, beta), want, f"the ELBO, beta = {beta:g}", mistakes)


# %% test="elbo, gradients" points=4 hidden=true
def test_elbo_gradients(elbo, slopes, rng):
    """one image, many images, and the slopes of the decoder's and the encoder's outputs"""
    for count, pixels, latents in ((1, 5, 2), (7, 1, 1), (3, 4, 6)):
        logits, x, mu, logvar = images(rng, count, pixels, latents)
        y = 1 / (1 + np.exp(-logits))
        fit = (x * np.log(y) + (1 - x) * np.log(1 - y)).sum(1)
        told = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)
        what = f"the ELBO of {count} images, {pixels} pixels and {latents} latent numbers"
        compare(elbo(logits, x, mu, logvar, 2.0), (fit - 2 * told).mean(), what)
    given = (logits, x, mu, logvar, np.array(2.0))
    of_logits, _, of_mu, of_logvar, _ = slopes("elbo", np.array(1.0), *given)
    compare(of_logits, (x - y) / 3, "the slope with respect to the logits")
    compare(of_mu, -2 * mu / 3, "the slope with respect to mu")
    compare(of_logvar, -(np.exp(logvar) - 1) / 3, "the slope with respect to logvar")


# %% [markdown] id="beta"
# ## A mean here, a mean there
#
# Library losses average over everything unless told otherwise. So one often meets the loss
#
# $$\frac{1}{N D} \sum_{n,i} (-\ln p(x_{ni}|z_n)) + \frac{1}{N J} \sum_{n,j} \mathrm{KL}_{nj},$$
#
# a mean over pixels and images, plus a mean over latent numbers and images, called "the ELBO". It
# is the loss of a β-VAE, divided by a constant, which training does not notice. Which β?
# `beta_of_means(pixels, latents)` returns it. Put in 784 pixels and 2, 20 or 200 latent numbers,
# and remember the results when a paper's β is 4.

# %% [markdown] lang="zh" of="beta" en="614ae505"
# ## 这里取平均，那里也取平均
#
# 各种库里的损失函数，不特意说明就会对一切取平均。于是常常见到这样的损失：
#
# $$\frac{1}{N D} \sum_{n,i} (-\ln p(x_{ni}|z_n)) + \frac{1}{N J} \sum_{n,j} \mathrm{KL}_{nj},$$
#
# 先对像素和图像取平均，再加上对隐变量和图像的平均，并且管它叫“ELBO”。它其实是某个 β-VAE 的损失除
# 以一个常数，而训练察觉不到这个常数。β 是多少？`beta_of_means(pixels, latents)` 返回这个数。请代
# 入 784 个像素和 2、20、200 个隐变量看看，下次读到哪篇论文取 β = 4 时，再想想这些结果。


# %% solution="beta"
def beta_of_means(pixels, latents):
    """The beta of which the loss of means is the beta-VAE's loss, but for a constant factor."""
    # BEGIN SOLUTION
    return pixels / latents
    # END SOLUTION


# %% test="beta" points=4
def test_beta(beta_of_means, rng):
    """with it, the two losses have the same ratio for every image"""
    for pixels, latents in ((784, 2), (784, 20), (64, 16)):
        fit, told = -rng.uniform(50, 500, 5), rng.uniform(1, 30, 5)  # of five images, in nats
        beta = float(beta_of_means(pixels, latents))
        ratios = (-fit / pixels + told / latents) / (-fit + beta * told)
        spread = np.ptp(ratios) / ratios.mean()
        assert spread < 1e-9, (
            f"{pixels} pixels, {latents} latent numbers: with beta = {beta:g} the ratio of the two "
            f"losses goes from {ratios.min():.3g} to {ratios.max():.3g}, image by image"
        )


# %% [markdown] id="bound"
# ## A tighter bound
#
# With $k$ draws $z_1, \dots, z_k$ for each image there is a better bound than the mean of their
# ELBOs (Burda, Grosse and Salakhutdinov 2016, equation 8):
#
# $$\ln p(x) \ge \mathbb{E}\Bigl[\ln \frac{1}{k} \sum_{i=1}^k w_i\Bigr], \qquad
# w_i = \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)}.$$
#
# You are given $\ln w_i$, an array (N, k). For images these are numbers like $-1500$; the
# smallest float64 is near $e^{-745}$, so `exp` makes all of them 0. Write
# `importance_bound(log_weights)`, (N, k) to (N,), so that it can be used. `logsumexp` and the
# softmaxes are not allowed here: find out what they do. `x.max(1, keepdim=True)` of a Tensor
# returns the largest numbers as `.values`.

# %% [markdown] lang="zh" of="bound" en="c3726cc7"
# ## 更紧的下界
#
# 每张图像抽 $k$ 个 $z_1, \dots, z_k$，就有比各个 ELBO 的平均更好的下界（Burda、Grosse 与
# Salakhutdinov 2016，式 8）：
#
# $$\ln p(x) \ge \mathbb{E}\Bigl[\ln \frac{1}{k} \sum_{i=1}^k w_i\Bigr], \qquad
# w_i = \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)}.$$
#
# 给你的是 $\ln w_i$，形状为 (N, k) 的数组。对图像来说，这些数大约是 $-1500$；而 float64 最小也就
# 到 $e^{-745}$ 附近，`exp` 一算全成了 0。请写出真正能用的 `importance_bound(log_weights)`，从 (N,
# k) 到 (N,)。`logsumexp` 和各种 softmax 这里不准用：要弄明白的正是它们在做什么。Tensor 的
# `x.max(1, keepdim=True)` 返回的结果里，`.values` 就是最大的数。


# %% solution="bound" without="*softmax* logsumexp logaddexp models"
@for_arrays
def importance_bound(log_weights):
    """ln of the mean of the k weights, for each image in nats: ln w (N, k) -> (N,)."""
    # BEGIN SOLUTION
    largest = log_weights.max(1, keepdim=True).values  # (N, 1)
    return (log_weights - largest).exp().mean(1).log() + largest.squeeze(1)
    # END SOLUTION


# %% test="bound" points=5
def test_bound(importance_bound, rng):
    """the logarithm of the mean weight, where the weights are moderate"""
    log_w = rng.normal(size=(4, 5))
    w = np.exp(log_w)
    mistakes = [
        (log_w.mean(1), "the mean of the logarithms is the ELBO; here it is the logarithm's mean"),
        (np.log(w.sum(1)), "the sum of the weights is taken for their mean"),
        (np.full(4, np.log(w.mean())), "the images are mixed: each has a bound of its own"),
        (np.log(w.mean(1)).mean(), "one number for each image is asked for"),
    ]
    compare(importance_bound(log_w), np.log(w.mean(1)), "the bound", mistakes)


# %% test="bound, of images" points=5 hidden=true
def test_bound_of_images(importance_bound, slopes, rng):
    """log weights near -1500 and +1500, one draw only, and the gradients"""
    log_w = 3 * rng.normal(size=(3, 6))
    w = np.exp(log_w)
    for shift in (-1500.0, 1500.0):
        what = f"the bound for log weights near {shift:g}"
        compare(importance_bound(log_w + shift), np.log(w.mean(1)) + shift, what, within=1e-9)
    compare(importance_bound(log_w[:, :1]), log_w[:, 0], "the bound with one draw")
    g = rng.normal(size=3)
    (slope,) = slopes("importance_bound", g, log_w - 1500)
    want = g[:, None] * w / w.sum(1, keepdims=True)
    compare(slope, want, "the slope with respect to the log weights", within=1e-9)


# %% [markdown] id="questions"
# ## Three questions, marked by hand
#
# Two to five sentences each, with the numbers that you can get from your own functions.
#
# 1. A friend's VAE with 784 pixels and 20 latent numbers uses the loss of means. The pictures
#    it draws from the prior look clean, but reconstructions are blurred, and most of its latent
#    numbers carry no information. What happened, and which two lines would you change?
# 2. Why is $z$ not simply drawn with `rng.normal(mu, sigma)`? Say which slopes would be
#    missing, and what each half of the loss could then still teach the encoder.
# 3. Draw log weights from a normal distribution of standard deviation 3 and print the bound for
#    $k$ = 1, 10, 100 and 1000, averaged over 200 images. What do you see, and why does it not
#    mean that the model has become better?

# %% [markdown] lang="zh" of="questions" en="d076a7a9"
# ## 三个由人来评的问题
#
# 每题两到五句话，能用自己的函数算出的数就写上。
#
# 1. 朋友的 VAE 有 784 个像素、20 个隐变量，用的是取平均的那个损失。从先验抽样画出的图很干净，
#    重建却很模糊，大多数隐变量不带任何信息。这是怎么回事？你会改哪两行？
# 2. 为什么不干脆用 `rng.normal(mu, sigma)` 抽 $z$？说说这样会缺哪些斜率，损失的两半各自还能教给
#    编码器什么。
# 3. 从标准差为 3 的正态分布抽 log 权重，对 200 张图像取平均，打印 $k$ = 1、10、100、1000 时的下
#    界。你看到了什么？为什么这并不说明模型变好了？

# %% [markdown] id="answers"
# *Your answers:*

# %% [markdown] lang="zh" of="answers" en="819d393d"
# *你的回答：*
