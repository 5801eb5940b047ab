# %% [markdown] id="title" goal="Tell thirty-two common mistakes from the right form, each by a number" minutes=0.2 after=["09", "11", "16"] length="reference"
# # 23 · Errata
#
# Some formulas about generative models are copied more often than they are checked. This chapter
# keeps thirty-two of them: things commonly written that are wrong, or right and run as something
# else. Each stands beside its right form, with a number that tells the two apart. None of the
# numbers is quoted from anywhere. The cells compute them all, and stop if one differs from the
# text.
#
# Read in any order. A title is the mistake in its usual words; then come why one believes it, what
# the number says, and how to notice it in a program that somebody hands you. Every cell defines
# `wrong` and `right` anew. Hardly any of these mistakes raises an error, and many still train, a
# little worse than they could; that is why they live long. At the end it is your turn: six
# snippets with one bug in each.
#
# | | commonly written | right | wrong gives | right gives |
# |---|---|---|---|---|
# | E1 | a perfect generator has no slope | the hopeless one has none | -0.982 | -0.0003 |
# | E2 | $\ln(1-D)$ is the same loss as $-\ln D$ | the slopes differ by $(1-D)/D$ | -0.0003 | -0.9997 |
# | E3 | KL without its minus sign | KL is never below 0 | -1.378 | 1.378 |
# | E4 | mean over pixels plus mean over codes | sums; mean over images only | 39.2 | 1.0 |
# | E5 | $\ln\sigma$ where $\ln\sigma^2$ is meant | call it `logvar`, compare with draws | 3.82 | 1.38 |
# | E6 | gradient penalty with `norm(dim=1)` | flatten all but the batch | 0.81 | 0.00 |
# | E7 | LayerNorm by unbiased std plus $\epsilon$ | biased variance, $\epsilon$ in the root | 1.500 | 1.732 |
# | E8 | post-norm in the text, pre-norm in the code | say which | 1.00 | 5.04 |
# | E9 | `BatchNorm2d(64, 0.8)` | `momentum=0.2` | 0.11 | 1.00 |
# | E10 | conditional GAN, with squared error | that is LSGAN's loss | 0.25 | 0.693 |
# | E11 | FID at different sample sizes | the same number for all | 11.3 | 2.3 |
# | E12 | Inception Score of `log2` | natural logarithm | 1.72 | 1.46 |
# | E13 | two walks back, twice the slope | only if what lies between is reset | 18 | 12 |
# | E14 | `np.dot` is matmul | not in three dimensions; `@` | 16,384 | 1,024 |
# | E15 | $D$ minimises $\ln D + \ln(1-D)$ | it maximises | 0.000 | 0.991 |
# | E16 | the same without the logarithms | the best $D$ is then no probability | 0.999 | 0.600 |
# | E17 | the generator learns with the label 0 | with the label 1 | -0.95 | 3.96 |
# | E18 | a VAE that decodes the mean | draw the code | 1.000 | 0.100 |
# | E19 | a VAE without KL | that is an autoencoder | 0.01 | 0.10 |
# | E20 | reparameterisation behind the decoder | on the code | 0.500 | 0.100 |
# | E21 | attention without $1/\sqrt d$ | scale the scores | 0.84 | 0.24 |
# | E22 | softmax over the queries | over the keys | 0.37 | 0.00 |
# | E23 | the mask after softmax | before, with $-\infty$ | 0.11 | 0.00 |
# | E24 | positions with the exponent doubled | $2i/d$ for pair $i$ | 9 | 18 |
# | E25 | softmax before cross-entropy | it takes logits | 1.461 | 0.000 |
# | E26 | Adam without bias correction | divide by $1-\beta^t$ | 3.16 | 1.00 |
# | E27 | BatchNorm asked in training mode | `eval()` | 0.43 | 0.00 |
# | E28 | tied weights, not transposed | $h E^\top$ | 6 % | 100 % |
# | E29 | perplexity $2^L$ of nats | $e^L$ | 17.9 | 64.0 |
# | E30 | temperature divides probabilities | it divides logits | 0.665 | 0.867 |
# | E31 | top-p stops before it reaches $p$ | the token that crosses stays | 0.50 | 0.80 |
# | E32 | noise mixed in by $\bar\alpha$ and $1-\bar\alpha$ | by their square roots | 0.50 | 1.00 |

# %% [markdown] lang="zh" of="title" en="40900887" goal="用一个数，把三十二种常见错误与正确写法分开"
# # 23 · 勘误
#
# 有些公式被抄写的次数，远多于被检验的次数。本章收集了三十二条与生成模型有关的说法：有的写错了，有
# 的写得对、跑的却是另一回事。每一条旁边都放着正确写法，外加一个能把二者分开的数。这些数没有一个是
# 引来的，全由单元格当场算出；若与正文不符，程序就会停下。
#
# 从哪一条读起都行。标题是这个错误最常见的样子；接着说它为什么让人相信，那个数说明什么，以及别人递
# 给你一段程序时怎样看出它来。每个单元格都重新定义 `wrong`（错）和 `right`（对）。这些错误几乎都不
# 会报错，很多甚至还能训练，只是比本来差一点，所以才流传得这么久。最后轮到你：六段代码，每段藏着一
# 个错。
#
# | | 常见的写法 | 正确的写法 | 错的给出 | 对的给出 |
# |---|---|---|---|---|
# | E1 | 完美的生成器没有斜率 | 毫无希望的那个才没有 | -0.982 | -0.0003 |
# | E2 | $\ln(1-D)$ 与 $-\ln D$ 是同一个损失 | 斜率相差 $(1-D)/D$ 倍 | -0.0003 | -0.9997 |
# | E3 | KL 丢了负号 | KL 从不小于 0 | -1.378 | 1.378 |
# | E4 | 像素取平均，编码也取平均 | 求和；只对图像取平均 | 39.2 | 1.0 |
# | E5 | 该用 $\ln\sigma^2$ 处用了 $\ln\sigma$ | 取名 `logvar`，与抽样对照 | 3.82 | 1.38 |
# | E6 | 梯度惩罚用 `norm(dim=1)` | 除批次外全部展平 | 0.81 | 0.00 |
# | E7 | LayerNorm 除以无偏标准差加 $\epsilon$ | 有偏方差，$\epsilon$ 在根号内 | 1.500 | 1.732 |
# | E8 | 正文是 post-norm，代码是 pre-norm | 说明是哪一种 | 1.00 | 5.04 |
# | E9 | `BatchNorm2d(64, 0.8)` | `momentum=0.2` | 0.11 | 1.00 |
# | E10 | 条件 GAN，用的却是平方误差 | 那是 LSGAN 的损失 | 0.25 | 0.693 |
# | E11 | 样本数不同的 FID 相比较 | 一律用同样多的样本 | 11.3 | 2.3 |
# | E12 | Inception Score 用 `log2` | 自然对数 | 1.72 | 1.46 |
# | E13 | 反向走两遍，斜率就是两倍 | 中间的值须先归零 | 18 | 12 |
# | E14 | `np.dot` 就是矩阵乘法 | 三维时不是；用 `@` | 16,384 | 1,024 |
# | E15 | $D$ 最小化 $\ln D + \ln(1-D)$ | 是最大化 | 0.000 | 0.991 |
# | E16 | 同上，但没有对数 | 最优的 $D$ 就不再是概率 | 0.999 | 0.600 |
# | E17 | 生成器用标签 0 学习 | 用标签 1 | -0.95 | 3.96 |
# | E18 | VAE 直接解码均值 | 编码要抽样 | 1.000 | 0.100 |
# | E19 | VAE 不要 KL | 那是自编码器 | 0.01 | 0.10 |
# | E20 | 重参数化写在解码器之后 | 用在编码上 | 0.500 | 0.100 |
# | E21 | 注意力不除以 $\sqrt d$ | 分数要缩放 | 0.84 | 0.24 |
# | E22 | softmax 沿查询方向 | 沿键的方向 | 0.37 | 0.00 |
# | E23 | softmax 之后才加掩码 | 之前，用 $-\infty$ | 0.11 | 0.00 |
# | E24 | 位置编码的指数翻了倍 | 第 $i$ 对用 $2i/d$ | 9 | 18 |
# | E25 | 交叉熵之前先做 softmax | 它要的是 logits | 1.461 | 0.000 |
# | E26 | Adam 不做偏差修正 | 除以 $1-\beta^t$ | 3.16 | 1.00 |
# | E27 | 在训练模式下问 BatchNorm | `eval()` | 0.43 | 0.00 |
# | E28 | 权重共享时忘了转置 | $h E^\top$ | 6 % | 100 % |
# | E29 | 损失以纳特计，困惑度却用 $2^L$ | $e^L$ | 17.9 | 64.0 |
# | E30 | 用温度去除概率 | 去除 logits | 0.665 | 0.867 |
# | E31 | top-p 在到达 $p$ 之前就停 | 越线的那个词元要留下 | 0.50 | 0.80 |
# | E32 | 按 $\bar\alpha$ 与 $1-\bar\alpha$ 掺噪声 | 按它们的平方根 | 0.50 | 1.00 |

# %%
import time

import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import nn, optim
from minigen.chapters.lesson import claim, fast, show
from minigen.metrics import frechet_distance, inception_score
from minigen.models.diffusion import Diffusion
from minigen.models.gan_losses import LOSSES, discriminator_loss, gradient_penalty
from minigen.models.sampling import Sampling, keep_nucleus
from minigen.models.vae import kl_divergence
from minigen.nn import functional as F
from minigen.testing import assert_gradients

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# %% [markdown] id="e1" grad="generator"
# ## E1 · “The generator is perfect, so its gradient vanishes”
#
# The story goes: a perfect generator gets $D \approx 1$ for its pictures, $-\ln(1-D)$ is then near
# 0, and the gradient vanishes. It has the ring of every saturation story, somebody too good to
# learn any more. But $-\ln(1-D)$ is near 0 where $D$ is near *zero*. With $D = \sigma(a)$ of a
# logit $a$, the two losses that a generator may descend have the slopes
#
# $$\frac{d}{da} \ln(1-\sigma(a)) = -\sigma(a), \qquad \frac{d}{da} \left(-\ln\sigma(a)\right) =
# -(1-\sigma(a)).$$
#
# At the logit 4, where $D$ is 0.982, the value is 4.02 and the slope -0.982, about as steep as it
# gets. It dies when the *discriminator* is sure: -0.0003 at the logit -8. It is the hopeless
# generator that is left without help, and that is how every training begins.
#
# *How to notice:* draw the slope over $D$, as in the picture after E2, before you explain it.

# %% [markdown] lang="zh" of="e1" en="ea26ba27"
# ## E1 · “生成器已经完美，所以梯度消失”
#
# 故事是这样讲的：完美的生成器使 $D \approx 1$，于是 $-\ln(1-D)$ 接近 0，梯度也就没了。听上去同别
# 的饱和故事一样，太优秀了，学不动了。可是 $-\ln(1-D)$ 接近 0 的地方，是 $D$ 接近**零**的地方。令
# $D = \sigma(a)$，$a$ 是 logit，生成器可以下降的两种损失，斜率分别是
#
# $$\frac{d}{da} \ln(1-\sigma(a)) = -\sigma(a), \qquad \frac{d}{da} \left(-\ln\sigma(a)\right) = -(1-\sigma(a)).$$
#
# logit 为 4 时，$D$ 是 0.982，损失值是 4.02，斜率 -0.982，几乎已经陡到头了。斜率消失，是在
# **判别器**很有把握的时候：logit 为 -8 时只有 -0.0003。得不到帮助的，是毫无希望的生成器；而每次训练
# 恰恰都从这里开始。
#
# **怎样发现**：先画出斜率随 $D$ 变化的曲线（见 E2 之后的图），再去解释它。


# %% check="generator"
def wrong():
    """The slope of ln(1 - D), where it is said to vanish."""
    return -sigmoid(4.0)


def right():
    """The same, where it does vanish."""
    return -sigmoid(-8.0)


print(f"slope of ln(1 - D): {wrong():.4f} at D = 0.982, {right():.4f} at D = {sigmoid(-8):.4f}")
claim("-0.982", wrong())
claim("-0.0003", right())
claim("0.982", sigmoid(4.0))
claim("4.02", -np.log(1 - sigmoid(4.0)))
logits = np.array([-3.0, -0.5, 0.2, 4.0])
assert_gradients((lambda a: np.log(1 - sigmoid(a)), lambda g, a: -g * sigmoid(a)), logits)
assert_gradients((lambda a: -np.log(sigmoid(a)), lambda g, a: -g * (1 - sigmoid(a))), logits)

# %% [markdown] id="e2"
# ## E2 · “Descend $\ln(1-D)$”, above code that does not
#
# Below the text stands binary cross-entropy with the label 1, and that is $-\ln D$. Both losses
# push $D$ up and both are content in the same place, so the exchange passes for notation. The
# slopes differ by the factor $(1-D)/D$. At the logit -8 it is 2,981: -0.0003 becomes -0.9997. The
# first loss is equation 1 of the GAN paper; the second, *non-saturating*, is what section 3 of the
# same paper advises, for exactly this reason.
#
# *How to notice:* the sign in the log. With an undecided $D$, $\ln(1-D)$ is -0.693 and $-\ln D$ is
# 0.693.

# %% [markdown] lang="zh" of="e2" en="aa166f17" captions={"generator_slopes": "三种损失对生成器有多陡，随 D(G(z)) 的变化。"}
# ## E2 · 正文说“下降 $\ln(1-D)$”，代码却不是
#
# 正文下面的代码，是标签为 1 的二元交叉熵，也就是 $-\ln D$。两种损失都把 $D$ 往上推，又在同一处满
# 足，于是这一替换被当成了记号上的小事。其实斜率差了 $(1-D)/D$ 倍。logit 为 -8 时，这是 2,981 倍：
# -0.0003 变成 -0.9997。前者是 GAN 论文的式 1；后者叫**非饱和**损失，同一篇论文的第 3 节正是为此推荐
# 它。
#
# **怎样发现**：看日志里的正负号。$D$ 拿不定主意时，$\ln(1-D)$ 是 -0.693，$-\ln D$ 是 0.693。


# %%
def slope(loss, a):
    """The slope of a generator's loss at the logit a."""
    a = minigen.tensor(a, dtype=minigen.float64, requires_grad=True)
    return minigen.autograd.grad(loss(a), a)[0].item()


def wrong(a):
    return -F.softplus(a).mean()  # ln(1 - D)


def right(a):
    return F.binary_cross_entropy_with_logits(a, minigen.ones_like(a))  # the label 1


print(f"at the logit -8: {slope(wrong, -8.0):.4f} and {slope(right, -8.0):.4f}")
claim("-0.0003", slope(wrong, -8.0))
claim("-0.9997", slope(right, -8.0))
claim("2,981", slope(right, -8.0) / slope(wrong, -8.0))
claim("-0.693", wrong(minigen.tensor(0.0)).item())
claim("0.693", right(minigen.tensor(0.0)).item())
for name, loss in (("minimax", wrong), ("non_saturating", right)):
    assert np.isclose(slope(LOSSES[name].generator, -8.0), slope(loss, -8.0))

# %%
D = np.linspace(0, 1, 201)
figure = Figure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots()
axes.plot(D, D, color=ORANGE, label=r"$\ln(1-D)$, minimax")
axes.plot(D, 1 - D, color=BLUE, label=r"$-\ln D$, non-saturating")
axes.plot(D, 2 * D * (1 - D) ** 2, "--", color=GREEN, label=r"$(D-1)^2$ behind a sigmoid (E10)")
axes.set(xlabel="D(G(z)): how real the picture looks", ylabel="steepness, |d loss / d logit|")
axes.annotate("here a training begins", (0.01, 0.03), (0.12, 0.55), arrowprops={"arrowstyle": "->"})
axes.legend(loc="upper center", frameon=False)
axes.set(xlim=(0, 1), ylim=(0, 1.35))
show(figure, "generator_slopes", "How steep three losses are for the generator, over D(G(z)).")

# %% [markdown] id="e3"
# ## E3 · “The KL loss is $\frac12\sum(1+\ln\sigma^2-\mu^2-\sigma^2)$”
#
# The bound that a VAE maximises *subtracts* the divergence, and papers print $-D_{KL}$ because that
# is the term they add. Copied into a variable called `kl`, the formula has lost its minus sign. For
# four random codes it gives -1.378 on average. The definition, the mean of $\ln q(z) - \ln p(z)$
# over draws from $q$, gives 1.38. Often a second minus sign saves the training, and only the curve
# hangs upside down. Where none does, the encoder is paid for running away from the prior.
#
# *How to notice:* no KL divergence is negative. A curve below 0 is a sign, not a good model.

# %% [markdown] lang="zh" of="e3" en="24e31516"
# ## E3 · “KL 损失是 $\frac12\sum(1+\ln\sigma^2-\mu^2-\sigma^2)$”
#
# VAE 最大化的下界要**减去**散度；论文写出的是 $-D_{KL}$，因为加进去的正是这一项。公式一旦抄进名叫
# `kl` 的变量，负号就丢了。对四个随机的编码，它平均给出 -1.378。按定义，从 $q$ 抽样，把
# $\ln q(z) - \ln p(z)$ 取平均，得到的是 1.38。常常另有一个负号碰巧救了训练，只是曲线倒挂着；若没
# 有，编码器逃离先验反而受到奖励。
#
# **怎样发现**：KL 散度不会是负的。曲线跌到 0 以下，说明符号错了，不说明模型好。

# %%
mu, logvar = np.random.default_rng(0).standard_normal((2, 4, 3))  # four codes of three numbers


def wrong(mu, logvar):
    return 0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)


def right(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)


noise = np.random.default_rng(1).standard_normal((50_000, 4, 3))
z = mu + np.exp(0.5 * logvar) * noise
drawn = (0.5 * z**2 - 0.5 * (noise**2 + logvar)).sum(-1).mean()  # ln q(z) - ln p(z)
print(f"wrong {wrong(mu, logvar).mean():.3f}  right {right(mu, logvar).mean():.3f}  {drawn=:.2f}")
claim("-1.378", wrong(mu, logvar).mean())
claim("1.378", right(mu, logvar).mean())
claim("1.38", drawn, within=0.01)
ours = kl_divergence(minigen.from_numpy(mu), minigen.from_numpy(logvar)).numpy()
assert np.allclose(ours, right(mu, logvar))

# %% [markdown] id="e4"
# ## E4 · “Reconstruction plus KL, both averaged, is the ELBO”
#
# Losses average by default, so two `.mean()` look like equal treatment. The bound of one image
# *sums* over its pixels and sums over the numbers of its code. Dividing the first sum by 784 and
# the second by 20 moves the balance: in units of the ELBO, a nat of divergence now costs 39.2. That
# is a $\beta$-VAE with $\beta = 784/20$, and its codes say little. Average over the images, over
# nothing else.
#
# *How to notice:* in nats an image of MNIST costs a VAE about a hundred. A loss below 1 has been
# divided by the pixels.

# %% [markdown] lang="zh" of="e4" en="1638cffb"
# ## E4 · “重构和 KL 各取平均，加起来就是 ELBO”
#
# 损失函数默认取平均，两个 `.mean()` 看上去一视同仁。可一幅图像的下界，是对像素**求和**、对编码的各
# 个数**求和**。前一个和除以 784，后一个除以 20，轻重就变了：以 ELBO 为准，一纳特的散度现在要付
# 39.2。这是 $\beta = 784/20$ 的 $\beta$-VAE，它的编码说不出多少东西。只对图像取平均，别的都不要。
#
# **怎样发现**：以纳特计，VAE 在一幅 MNIST 图像上的损失约为一百。若不到 1，就是被像素数除过了。


# %%
def wrong(misses, kl):
    return misses.mean() + kl.mean()


def right(misses, kl):
    return misses.sum(dim=1).mean() + kl.sum(dim=1).mean()


def beta(loss):
    """What a nat of divergence costs, if a nat of reconstruction costs 1."""
    misses = minigen.ones(8, 784, requires_grad=True)  # -ln p(x|z), image by image and pixel
    kl = minigen.ones(8, 20, requires_grad=True)
    of_misses, of_kl = minigen.autograd.grad(loss(misses, kl), (misses, kl))
    return (of_kl[0, 0] / of_misses[0, 0]).item()


print(f"beta: wrong {beta(wrong):.1f}  right {beta(right):.1f}")
claim("39.2", beta(wrong))
claim("1.0", beta(right))

# %% [markdown] id="e5"
# ## E5 · “The encoder gives $\sigma$”
#
# One article's encoder gives $\ln\sigma$, another's $\ln\sigma^2$, a third one's $\sigma$, and
# `log_var`, `log_sigma` and `sigma` go round among them. A formula of the one runs on the numbers
# of the other without complaint. The codes of E3 then cost 3.82 instead of 1.38, and what is drawn
# for them is $e^{\ln\sigma^2/2}$ times too wide or too narrow.
#
# *How to notice:* name the number for what it is, here `logvar`, take $\sigma$ as `exp(0.5 *
# logvar)`, and compare the closed form with draws once, as E3 does.

# %% [markdown] lang="zh" of="e5" en="746872fe"
# ## E5 · “编码器给出 $\sigma$”
#
# 一篇文章的编码器给出 $\ln\sigma$，另一篇给出 $\ln\sigma^2$，第三篇给出 $\sigma$；而 `log_var`、
# `log_sigma`、`sigma` 这些名字在它们之间混用。把这一篇的公式用在那一篇的数上，程序照跑不误。这时
# E3 的那些编码要付 3.82，而不是 1.38；抽出来的样本，宽窄也差了 $e^{\ln\sigma^2/2}$ 倍。
#
# **怎样发现**：是什么就叫什么，这里叫 `logvar`；$\sigma$ 用 `exp(0.5 * logvar)` 求；再像 E3 那样，
# 拿闭式与抽样对照一次。


# %%
def wrong(mu, logvar):
    """Of ln sigma, which this is not."""
    return (0.5 * (mu**2 + np.exp(2 * logvar) - 1) - logvar).sum(1)


def right(mu, logvar):
    return (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)).sum(1)


print(f"wrong {wrong(mu, logvar).mean():.2f}  right {right(mu, logvar).mean():.2f}  {drawn=:.2f}")
claim("3.82", wrong(mu, logvar).mean())
claim("1.38", right(mu, logvar).mean())

# %% [markdown] id="e6"
# ## E6 · “`gradient.norm(2, dim=1)`”
#
# WGAN-GP wants a critic whose gradient has the length 1 and fines $(\lVert\nabla_x f\rVert - 1)^2$.
# For points, (N, 2), `dim=1` gives that length. For pictures, (N, C, H, W), the same line takes the
# norm over the channels: in grey pictures, the slope of each single *pixel* is drawn towards 1. A
# critic that is right in every respect, $f(x) = w \cdot x$ with $\lVert w\rVert = 1$, is fined 0.81
# instead of 0.00; what would please the penalty has a gradient of length 8 on 8 × 8 pixels. Flatten
# everything but the batch. The mixing number $\alpha$ has the same trap: one an image, (N, 1, 1,
# 1).
#
# *How to notice:* fine a critic that deserves none.

# %% [markdown] lang="zh" of="e6" en="c420a23b"
# ## E6 · “`gradient.norm(2, dim=1)`”
#
# WGAN-GP 要求 critic 的梯度长度为 1，用 $(\lVert\nabla_x f\rVert - 1)^2$ 来罚。对平面上的点，形状
# (N, 2)，`dim=1` 求出的正是这个长度。对图像，形状 (N, C, H, W)，同一行代码却是沿通道求范数；灰度
# 图上，就成了把**每个像素**的斜率都拉向 1。一个处处正确的 critic，$f(x) = w \cdot x$，
# $\lVert w\rVert = 1$，被罚 0.81，而本该是 0.00；能让这个惩罚满意的，在 8 × 8 像素上梯度长度是
# 8。正确做法：除批次外全部展平。混合系数 $\alpha$ 有同样的陷阱：每幅图像一个，形状 (N, 1, 1, 1)。
#
# **怎样发现**：拿一个不该受罚的 critic 来罚一下。

# %%
w = np.random.default_rng(0).standard_normal((1, 8, 8))
w = minigen.from_numpy(w / np.sqrt((w**2).sum()))  # of length 1


def critic(x):
    return (x * w).sum(dim=(1, 2, 3))


def wrong(slopes):
    return ((minigen.linalg.vector_norm(slopes, dim=1) - 1) ** 2).mean()


def right(slopes):
    return ((minigen.linalg.vector_norm(slopes.flatten(1), dim=1) - 1) ** 2).mean()


x = minigen.zeros(16, 1, 8, 8, dtype=minigen.float64, requires_grad=True)
(slopes,) = minigen.autograd.grad(critic(x).sum(), x)  # (16, 1, 8, 8)
print(f"wrong {wrong(slopes).item():.2f}  right {right(slopes).item():.2f}")
claim("0.81", wrong(slopes).item())
claim("0.00", right(slopes).item())
claim("8", minigen.ones(8, 8).flatten().norm().item())
ours = gradient_penalty(critic, x, x + 1, minigen.full((16, 1, 1, 1), 0.3, dtype=x.dtype))
assert abs(ours.item()) < 1e-12

# %% [markdown] id="e7"
# ## E7 · “LayerNorm is $(x-\bar x)/(s+\epsilon)$”
#
# It reads like the definition of a z-score, and `std()` is at hand. Two things differ from the
# layer in the paper and from what stored weights were trained with: a tensor's `std()` divides by
# $n-1$ (NumPy's does not), and $\epsilon$ stands outside the root. The row `1, 0, 0, 0` becomes
# 1.500 in the first place instead of 1.732, a factor that depends on the width. The row `3, 3, 3,
# 3.001` is blown up to 1.50, where $\sqrt{\mathrm{Var} + 10^{-5}}$ leaves it at 0.23: it is nearly
# constant, and that is the case for which $\epsilon$ is there.
#
# *How to notice:* the mean square of a normalised row is 1, not $(n-1)/n$.

# %% [markdown] lang="zh" of="e7" en="8f31e0d2"
# ## E7 · “LayerNorm 就是 $(x-\bar x)/(s+\epsilon)$”
#
# 读起来就是标准分数的定义，手边又有现成的 `std()`。但它与论文里的那一层、与现成权重训练时用的那一
# 层，有两处不同：张量的 `std()` 除以 $n-1$（NumPy 的不是）；$\epsilon$ 放在了根号外面。
# `1, 0, 0, 0` 这一行，第一个数变成 1.500 而不是 1.732，差的倍数还随宽度而变。`3, 3, 3, 3.001` 这一行被放大到 1.50，而
# $\sqrt{\mathrm{Var} + 10^{-5}}$ 只让它到 0.23：这一行几乎是常数，$\epsilon$ 正是为这种情形准备
# 的。
#
# **怎样发现**：归一化之后，一行的均方是 1，不是 $(n-1)/n$。


# %%
def wrong(x, eps=1e-6):
    return (x - x.mean()) / (x.std(ddof=1) + eps)


def right(x, eps=1e-5):
    return (x - x.mean()) / np.sqrt(x.var() + eps)


one, flat = np.array([1.0, 0, 0, 0]), np.array([3, 3, 3, 3.001])
print("one in four    ", wrong(one).round(3), right(one).round(3))
print("nearly constant", wrong(flat).round(3), right(flat).round(3))
claim("1.500", wrong(one)[0])
claim("1.732", right(one)[0])
claim("1.50", wrong(flat)[3])
claim("0.23", right(flat)[3])
assert np.allclose(F.layer_norm(minigen.from_numpy(flat), (4,)).numpy(), right(flat))

# %% [markdown] id="e8"
# ## E8 · LayerNorm(x + Sublayer(x)) in the text, x + Sublayer(LayerNorm(x)) in the code
#
# Both exist: *post-norm* is in the paper of 2017, *pre-norm* in most models since. The mistake is
# to print the one and run the other, for they are different networks. After 24 layers of random
# weights the stream has a root mean square of 1.00 with post-norm. With pre-norm nothing scales it
# back, 25 terms add up, and it is 5.04; that is why such models end with one LayerNorm more.
#
# *How to notice:* look for that last one, `ln_f` or `norm`, among the names of the weights.

# %% [markdown] lang="zh" of="e8" en="6702b257"
# ## E8 · 正文是 LayerNorm(x + Sublayer(x))，代码是 x + Sublayer(LayerNorm(x))
#
# 两种都有：2017 年的论文用 **post-norm**，此后的模型大多用 **pre-norm**。错在写一种、跑另一种，因为它
# 们是两个不同的网络。经过 24 层随机权重，post-norm 主干的均方根是 1.00。pre-norm 没有谁把它缩回
# 来，25 项累加，变成 5.04；所以这类模型末尾总要再加一个 LayerNorm。
#
# **怎样发现**：在权重的名字里找最后那一层，`ln_f` 或 `norm`。


# %%
def normalized(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def wrong(x, sublayer):
    """What the text says; not wrong by itself."""
    return normalized(x + sublayer(x))


def right(x, sublayer):
    """What runs."""
    return x + sublayer(normalized(x))


def size_after(layer, layers=24, width=128):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, width))
    for _ in range(layers):
        weight = rng.standard_normal((width, width)) / np.sqrt(width)
        x = layer(x, lambda x, weight=weight: x @ weight)
    return np.sqrt((x**2).mean())


print(f"post-norm {size_after(wrong):.2f}  pre-norm {size_after(right):.2f}")
claim("1.00", size_after(wrong))
claim("5.04", size_after(right))

# %% [markdown] id="e9"
# ## E9 · “`BatchNorm2d(64, 0.8)`”
#
# Meant is a momentum. The second argument is $\epsilon$, and the momentum stays what it was. With
# `0.8` under the root, activations that spread by a tenth, as they do early in a training, leave
# with 0.11 instead of 1.00: the layer hardly normalises. Moreover, a momentum here is the weight of
# the *new* batch. What others write as `momentum=0.8`, the weight of the old average, is `momentum=0.2`.
#
# *How to notice:* name every argument that is not a size.

# %% [markdown] lang="zh" of="e9" en="a43f4245"
# ## E9 · “`BatchNorm2d(64, 0.8)`”
#
# 想写的是动量。可第二个参数是 $\epsilon$，动量仍是原来的值。根号里有了 `0.8`，训练初期那种只有十
# 分之一宽的激活值，出来时是 0.11 而不是 1.00：这一层几乎没有归一化。况且这里的动量是**新**批次的权
# 重；别处写作 `momentum=0.8` 的，是旧平均的权重，在这里应写 `momentum=0.2`。
#
# **怎样发现**：凡不是尺寸的参数，一律写出名字。


# %%
def wrong():
    return nn.BatchNorm2d(64, 0.8)


def right():
    return nn.BatchNorm2d(64, momentum=0.2)


x = 0.1 * np.random.default_rng(0).standard_normal((256, 64, 2, 2), dtype=np.float32)
spread = {layer: layer()(minigen.from_numpy(x)).std().item() for layer in (wrong, right)}
print(wrong(), f"-> {spread[wrong]:.2f}")
print(right(), f"-> {spread[right]:.2f}")
claim("0.11", spread[wrong])
claim("1.00", spread[right])

# %% [markdown] id="e10"
# ## E10 · “A conditional GAN”, trained with squared error
#
# A conditional GAN tells both networks the label; that is all the name says. Programs that bear it
# often exchange the loss as well, for `MSELoss`. This is LSGAN, another idea with another paper: an
# undecided $D$ costs 0.25 instead of 0.693. With LSGAN the last layer has no sigmoid. Where it was
# left in place, the slope at the logit -8 is -0.0007, and the generator starves as in E1.
#
# *How to notice:* the discriminator's loss in the very first step, $\ln 2$ or a quarter.

# %% [markdown] lang="zh" of="e10" en="eb6fca0b"
# ## E10 · “条件 GAN”，训练用的是平方误差
#
# 条件 GAN 把标签告诉两个网络，这个名字的意思仅此而已。挂着这个名字的程序，却常常连损失也换成了
# `MSELoss`。那是 LSGAN，是另一篇论文的另一个想法：$D$ 拿不定主意时，损失是 0.25，而不是 0.693。
# LSGAN 的最后一层不带 sigmoid；若把它留在那里，logit 为 -8 处的斜率只有 -0.0007，生成器就像 E1 那
# 样饿着。
#
# **怎样发现**：看判别器在第一步的损失，是 $\ln 2$ 还是四分之一。


# %%
def wrong(a, label):
    return ((a.sigmoid() - label) ** 2).mean()


def right(a, label):
    return F.binary_cross_entropy_with_logits(a, minigen.full_like(a, label))


undecided = minigen.zeros(4)
print(f"D = 1/2: wrong {wrong(undecided, 1).item():.3f}  right {right(undecided, 1).item():.3f}")
claim("0.25", wrong(undecided, 1).item())
claim("0.693", right(undecided, 1).item())
claim("-0.0007", slope(lambda a: wrong(a, 1), -8.0))
claim("-0.9997", slope(lambda a: right(a, 1), -8.0))

# %% [markdown] id="e11"
# ## E11 · “Their FID is 11.3, ours is 2.6”
#
# Smaller is better, so the second model looks far better. It is the worse one. Here the first draws
# from exactly the distribution that it is compared with, and its distance is 0. The second is off
# by `1.5` in one of 64 features, and its distance is `2.25`. But the first was measured with 200
# samples, the second with 5,000: a covariance of 64 features that was fitted to few samples is
# wrong, and every error adds. With 1,000 samples each the two have 2.3 and 4.6.
#
# *How to notice:* an FID without its number of samples is no result. Compare at one number, and
# print what real data get against real data beside it.

# %% [markdown] lang="zh" of="e11" en="7f70f199" captions={"distance_by_size": "同一分布与自己相比，以及与平移后的分布相比。"}
# ## E11 · “他们的 FID 是 11.3，我们的是 2.6”
#
# 越小越好，所以后一个模型看来好得多。其实它更差。这里，前一个模型抽样的分布，与用来比较的分布完全
# 相同，真正的距离是 0。后一个在 64 个特征中有一个偏了 `1.5`，真正的距离是 `2.25`。只不过前者用
# 200 个样本测，后者用 5,000 个：用很少的样本去估计 64 个特征的协方差，估得不准，而每一处误差都往
# 上加。各用 1,000 个样本，两者是 2.3 和 4.6。
#
# **怎样发现**：不写样本数的 FID 不算结果。要在同样的样本数下比，旁边再写上真实数据与真实数据之间的
# 距离。


# %%
def distance(samples, off_by, seed=0):
    """Between two sets of samples; the means of their distributions are off_by apart."""
    a, b = np.random.default_rng(seed).standard_normal((2, samples, 64))
    a[:, 0] += off_by
    return frechet_distance(a, b)


def wrong(off_by):
    return distance(200 if off_by == 0 else 5000, off_by)  # each as it was published


def right(off_by):
    return distance(1000, off_by)


for name, off_by in (("perfect", 0.0), ("off by 1.5", 1.5)):
    print(f"{name:10}  wrong {wrong(off_by):5.1f}  right {right(off_by):5.1f}")
claim("11.3", wrong(0.0))
claim("2.6", wrong(1.5))
claim("2.3", right(0.0))
claim("4.6", right(1.5))

# %%
sizes = [100, 200, 500, 1000, 2000, 5000]
figure = Figure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots()
perfect, shifted = ([distance(n, off_by) for n in sizes] for off_by in (0.0, 1.5))
axes.loglog(sizes, perfect, "o-", color=BLUE, label="perfect: the true distance is 0")
axes.loglog(sizes, shifted, "s-", color=ORANGE, label="off by 1.5: the true distance is 2.25")
axes.axhline(2.25, color=ORANGE, linestyle=":")
axes.plot([200, 5000], [perfect[1], shifted[-1]], "o", ms=15, mfc="none", mec="black", mew=1.2)
axes.annotate("what was compared", (215, perfect[1] * 0.86), (260, 2.7))
axes.annotate("", (4300, shifted[-1] * 1.03), (860, 2.88), arrowprops={"arrowstyle": "->"})
axes.annotate("", (205, perfect[1] * 0.8), (300, 3.3), arrowprops={"arrowstyle": "->"})
axes.set(xlabel="samples on each side", ylabel="Fréchet distance, estimated")
axes.set_yticks([0.5, 1, 2, 5, 10, 20], labels=["0.5", "1", "2", "5", "10", "20"])
axes.set_xticks(sizes, labels=[f"{n:,}" for n in sizes])
axes.minorticks_off()
axes.legend(frameon=False)
show(figure, "distance_by_size", "One distribution against itself, and against a shifted one.")

# %% [markdown] id="e12"
# ## E12 · “$\exp$ of the mean KL, in bits”
#
# Entropies are taught in bits, so `log2` comes easily. But $\exp$ undoes the natural logarithm
# only. With `log2` inside, the same predictions score 1.72 instead of 1.46; $2^x$ of bits would be
# right again.
#
# *How to notice:* ten classes, each predicted surely and equally often, must score 10. The mistake
# gives 27.7.

# %% [markdown] lang="zh" of="e12" en="9cb675ce"
# ## E12 · “平均 KL 的 $\exp$，以比特计”
#
# 熵通常用比特来教，`log2` 便顺手写了出来。但 $\exp$ 只能抵消自然对数。里面用了 `log2`，同样的预测
# 得分是 1.72，而不是 1.46；若以比特计，用 $2^x$ 也是对的。
#
# **怎样发现**：十个类别，每类出现得一样多，预测又都十分肯定，应当得 10 分。写错时得 27.7。


# %%
def wrong(p):
    ratio = np.where(p > 0, p / p.mean(0), 1)
    return np.exp((p * np.log2(ratio)).sum(1).mean())


def right(p):
    ratio = np.where(p > 0, p / p.mean(0), 1)
    return np.exp((p * np.log(ratio)).sum(1).mean())


p = np.random.default_rng(0).dirichlet(np.ones(10), size=5000)  # a classifier's answers
print(f"vague answers: wrong {wrong(p):.2f}  right {right(p):.2f}")
print(f"sure answers:  wrong {wrong(np.eye(10)):.2f}  right {right(np.eye(10)):.2f}")
claim("1.72", wrong(p))
claim("1.46", right(p))
claim("27.7", wrong(np.eye(10)))
claim("10", right(np.eye(10)))
assert np.isclose(inception_score(p), right(p))

# %% [markdown] id="e13"
# ## E13 · “`backward()` twice gives twice the gradient”
#
# It should, since `backward()` adds to `.grad`. Small engines written for teaching give more. They
# keep `.grad` in *every* node, and the second walk starts from what the first has left between
# input and output. For $y = 3 \cdot 2x$ the slope after two walks is 18, not 12. Only the leaves may
# add up; everything between starts from 0 at each walk.
#
# *How to notice:* walk back twice, over a chain of at least two operations. One alone hides it.

# %% [markdown] lang="zh" of="e13" en="9339a85d"
# ## E13 · “`backward()` 两次，梯度就是两倍”
#
# 本该如此，因为 `backward()` 是往 `.grad` 里加。教学用的小引擎给出的却更多。它们在**每个**节点里都
# 存 `.grad`，第二遍就从第一遍留在输入与输出之间的数出发。对 $y = 3 \cdot 2x$，走两遍之后斜率是
# 18，不是 12。只有叶子可以累加；中间的一切，每走一遍都要从 0 开始。
#
# **怎样发现**：在至少两步运算的链上反向走两遍。只有一步时看不出来。


# %%
class Value:
    """A number, and the one it is a multiple of."""

    def __init__(self, of=None, factor=1.0):
        self.of, self.factor, self.grad = of, factor, 0.0

    def __rmul__(self, factor):
        return Value(self, factor)


def wrong(value):
    value.grad = 1.0
    while value.of is not None:
        value.of.grad += value.factor * value.grad
        value = value.of


def right(value):
    slope = 1.0  # of what lies between: new at every walk
    while value.of is not None:
        slope, value = value.factor * slope, value.of
    value.grad += slope


def walked_twice(walk):
    x = Value()
    y = 3 * (2 * x)
    walk(y)
    walk(y)
    return x.grad


print(f"wrong {walked_twice(wrong)}  right {walked_twice(right)}")
claim("18", walked_twice(wrong))
claim("12", walked_twice(right))
x = minigen.tensor(1.0, requires_grad=True)
y = 3 * (2 * x)
y.backward(retain_graph=True)
y.backward()
assert x.grad.item() == walked_twice(right)

# %% [markdown] id="e14"
# ## E14 · “`np.dot` is matrix multiplication”
#
# For two matrices it is. In three dimensions `np.dot(q, k)` multiplies every matrix of `q` with
# every matrix of `k`: for a batch of 16 it returns 16,384 numbers where `q @ k` returns 1,024, the
# right ones among them. With a plain matrix on the right the results agree, and only time is lost:
# for 16 × 64 rows of 128 numbers and a matrix of 128 × 384, `np.dot` took about 90 times as long
# here, because it does not reach the fast matrix product.
#
# *How to notice:* assert the shape of what comes out; write `@`.

# %% [markdown] lang="zh" of="e14" en="e1eda809"
# ## E14 · “`np.dot` 就是矩阵乘法”
#
# 对两个矩阵来说是。到了三维，`np.dot(q, k)` 让 `q` 的每个矩阵去乘 `k` 的每个矩阵：批次大小为 16
# 时，`q @ k` 返回 1,024 个数，它返回 16,384 个，正确的那些混在其中。右边若是普通矩阵，结果倒是一
# 致，只是白费时间：16 × 64 行、每行 128 个数，乘 128 × 384 的矩阵，`np.dot` 在这里花的时间大约是
# 90 倍，因为它用不上快速的矩阵乘法。
#
# **怎样发现**：用断言检查结果的形状；写 `@`。


# %%
def wrong(a, b):
    return np.dot(a, b)


def right(a, b):
    return a @ b


def seconds(product, a, b):
    """The median of a few calls, the first left out."""
    times = []
    for _ in range(2 if fast() else 8):
        start = time.perf_counter()
        product(a, b)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


rng = np.random.default_rng(0)
q, k = rng.standard_normal((16, 8, 32)), rng.standard_normal((16, 32, 8))
print(f"a batch of scores: wrong {wrong(q, k).shape}  right {right(q, k).shape}")
claim("16,384", wrong(q, k).size)
claim("1,024", right(q, k).size)
x, weight = rng.standard_normal((16, 64, 128)), rng.standard_normal((128, 384))
assert np.allclose(wrong(x, weight), right(x, weight))
ratio = seconds(wrong, x, weight) / seconds(right, x, weight)
claim("90", min(ratio, 170), within=80, trained=True)  # a machine may do `@` faster yet

# %% [markdown] id="e15"
# ## E15 · “The discriminator minimises $\ln D(x) + \ln(1-D(G(z)))$”
#
# Losses are minimised, so *maximise* turns into *minimise* on the way out of the paper. $D$ ascends
# this sum; what it descends is the negative, which is cross-entropy. Descended as written, 100
# steps teach it to give a real point 0.000. With the sign it gives 0.991.
#
# *How to notice:* what is the least that the loss can be? Cross-entropy ends at 0. The sum falls
# without end.

# %% [markdown] lang="zh" of="e15" en="01bbcd2b"
# ## E15 · “判别器最小化 $\ln D(x) + \ln(1-D(G(z)))$”
#
# 损失总是要最小化的，于是离开论文的路上，“最大化”就变成了“最小化”。$D$ 要让这个和上升；它下降的是
# 这个和的相反数，即交叉熵。照字面下降 100 步，它学会给真实的点打 0.000 分。带上负号，则是 0.991。
#
# **怎样发现**：这个损失最小能到多少？交叉熵到 0 为止；那个和却没有底。


# %%
def wrong(real, fake):
    return (F.logsigmoid(real) + F.logsigmoid(-fake)).mean()


def right(real, fake):
    return -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()


def learned(loss, steps=100, rate=0.1):
    """Real points are right of 0, generated ones left. D = sigmoid(c x): what it gives to 2."""
    real, c = minigen.tensor([1.0, 2.0, 3.0]), minigen.zeros(1, requires_grad=True)
    for _ in range(steps):
        (slope,) = minigen.autograd.grad(loss(c * real, c * -real), c)
        with minigen.no_grad():
            c -= rate * slope
    return minigen.sigmoid(2 * c).item()


of_wrong, of_right = learned(wrong), learned(right)
print(f"D of a real point: wrong {of_wrong:.3f}  right {of_right:.3f}")
claim("0.000", of_wrong)
claim("0.991", of_right)
assert np.isclose(of_right, learned(lambda real, fake: 2 * discriminator_loss(real, fake)))

# %% [markdown] id="e16"
# ## E16 · “$D$ maximises $E[D(x)] + E[1-D(G(z))]$”
#
# The logarithms are gone, the sum still rises when $D$ is right, and it looks simpler. But they are
# what makes $D$ a probability. Where real pictures have the density $p$ and generated ones $q$, the
# best answer is $p/(p+q)$ with them: 0.600 if the two are as 6 to 4. Without them it is as much as
# $D$ may say, on this grid 0.999. An answer that is always sure has no slope left for the
# generator. (Without the sigmoid, and with a bound on the slope of $D$, the same sum is a
# Wasserstein critic: another theory, with that bound as its condition.)
#
# *How to notice:* a histogram of $D$ with nothing between 0 and 1.

# %% [markdown] lang="zh" of="e16" en="890ef699"
# ## E16 · “$D$ 最大化 $E[D(x)] + E[1-D(G(z))]$”
#
# 对数没了，$D$ 判得对时这个和照样上升，看起来还更简单。可是，正是对数使 $D$ 成为概率。真实图像的
# 密度为 $p$、生成图像的密度为 $q$ 的地方，有对数时最好的回答是 $p/(p+q)$：两者为 6 比 4 时是
# 0.600。没有对数，最好的回答就是 $D$ 能取的最大值，在这里的网格上是 0.999。总是满口咬定的回答，没
# 有斜率留给生成器。（去掉 sigmoid，再限制 $D$ 的斜率，同一个和就成了 Wasserstein critic：那是另一
# 套理论，以那个限制为前提。）
#
# **怎样发现**：画 $D$ 的直方图，0 与 1 之间空空如也。


# %%
def wrong(d, p, q):
    return p * d + q * (1 - d)


def right(d, p, q):
    return p * np.log(d) + q * np.log(1 - d)


D = np.arange(1, 1000) / 1000
best = {value: D[value(D, p=0.6, q=0.4).argmax()] for value in (wrong, right)}
print(f"the best D where 6 of 10 are real: wrong {best[wrong]:.3f}  right {best[right]:.3f}")
claim("0.999", best[wrong])
claim("0.600", best[right])

# %% [markdown] id="e17"
# ## E17 · “Generated pictures have the label 0”
#
# They have, when $D$ learns. With the same label in the generator's own loss it learns to be
# *recognised*. Take one that can only move, $x = b + z$, and a $D$ that holds for real what lies
# right of 2. From $b = 0$, 100 steps lead to 3.96 with the label 1, and to -0.95 with the label 0:
# it walks away from the data.
#
# *How to notice:* the losses of both fall together from the first step on. They are opponents, and
# cannot.

# %% [markdown] lang="zh" of="e17" en="e4fcb251"
# ## E17 · “生成的图像，标签是 0”
#
# $D$ 学习的时候，是的。生成器自己的损失若也用这个标签，它学的就是怎样**被认出来**。取一个只会平移的
# 生成器，$x = b + z$；$D$ 把 2 以右的看作真。从 $b = 0$ 出发走 100 步，标签为 1 时走到 3.96，标签
# 为 0 时走到 -0.95：它背着数据走开了。
#
# **怎样发现**：两个网络的损失从第一步起一同下降。它们是对手，不可能这样。


# %%
def wrong(a):
    return F.binary_cross_entropy_with_logits(a, minigen.zeros_like(a))


def right(a):
    return F.binary_cross_entropy_with_logits(a, minigen.ones_like(a))


def walk(loss, steps=100, rate=0.1):
    b, z = minigen.zeros(1, requires_grad=True), minigen.tensor([-1.0, 0.0, 1.0])
    for _ in range(steps):
        (slope,) = minigen.autograd.grad(loss(b + z - 2), b)  # D = sigmoid(x - 2)
        with minigen.no_grad():
            b -= rate * slope
    return b.item()


away, towards = walk(wrong), walk(right)
print(f"the generator ends at: wrong {away:.2f}  right {towards:.2f}")
claim("-0.95", away)
claim("3.96", towards)

# %% [markdown] id="e18"
# ## E18 · “The VAE decodes the mean”
#
# Three things called VAE lack a part each. To see what the part does, take a model whose answer is
# known: the code is one number with the prior $N(0, 1)$, and the decoder is $x \mid z \sim N(wz,
# 1)$ with $w = 3$. By Bayes' rule the code of $x$ is normal, with the mean $wx/(1+w^2)$ and the
# variance $1/(1+w^2)$. Descending the negative ELBO in $\mu$ and $\ln\sigma^2$ must find 0.600 and
# 0.100 for $x = 2$, and it does.
#
# The first feeds $\mu$ to the decoder, “the best guess”, and keeps the KL term. Then $\sigma$ is
# only in that term, which wants 1.000 and gets it: every code is as vague as the prior, whatever the
# picture. And the decoder never sees a code that is not exactly a $\mu$.
#
# *How to notice:* in training, decode one picture twice. If nothing differs, nothing was drawn.

# %% [markdown] lang="zh" of="e18" en="5cee2cf2"
# ## E18 · “VAE 解码均值”
#
# 有三种东西也叫 VAE，各缺一个部件。要看清部件的作用，就取一个已知答案的模型：编码是一个数，先验为
# $N(0, 1)$，解码器是 $x \mid z \sim N(wz, 1)$，$w = 3$。由贝叶斯公式，$x$ 的编码服从正态分布，均
# 值为 $wx/(1+w^2)$，方差为 $1/(1+w^2)$。让 $\mu$ 和 $\ln\sigma^2$ 沿负 ELBO 下降，对 $x = 2$ 应当
# 得到 0.600 和 0.100，也确实得到了。
#
# 第一种把 $\mu$ 直接送进解码器，说这是“最佳猜测”，KL 项则留着。这样 $\sigma$ 只出现在 KL 项里，而
# 那一项想要 1.000，也就得了 1.000：不论什么图像，编码都和先验一样含糊。解码器也从没见过不恰好是某
# 个 $\mu$ 的编码。
#
# **怎样发现**：在训练时把同一幅图像解码两次。毫无差别，就是没有抽样。

# %%
w, x = 3.0, 2.0
epsilon = minigen.tensor([-1.0, 1.0], dtype=minigen.float64)  # a tiny N(0, 1): mean 0, variance 1


def misses(output):
    return 0.5 * ((x - output) ** 2).mean()  # -ln p(x|z), but for a constant


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def wrong(mu, logvar):
    return misses(w * mu) + kl(mu, logvar)


def right(mu, logvar):
    return misses(w * (mu + (0.5 * logvar).exp() * epsilon)) + kl(mu, logvar)


def settled(loss, steps=200, rate=0.1):
    """mu and sigma^2 after each step of descent, from the prior's 0 and 1: (steps + 1, 2)."""
    code = minigen.zeros(2, dtype=minigen.float64, requires_grad=True)
    path = [code.tolist()]
    for _ in range(steps):
        (slope,) = minigen.autograd.grad(loss(code[0], code[1]), code)
        with minigen.no_grad():
            code -= rate * slope
        path.append(code.tolist())
    return np.array(path) * [1, 0] + np.exp(path) * [0, 1]


paths = {"a VAE": settled(right), "E18: decodes the mean": settled(wrong)}
for name, path in paths.items():
    print(f"{name:22} mu {path[-1, 0]:.3f}  sigma^2 {path[-1, 1]:.3f}")
claim("0.600", paths["a VAE"][-1, 0])
claim("0.100", paths["a VAE"][-1, 1])
claim("1.000", paths["E18: decodes the mean"][-1, 1])

# %% [markdown] id="e19"
# ## E19 · “The KL term only regularises”
#
# And a regulariser may be left out. What is left pays for its noise and gets nothing for it, so it
# turns the noise off: after 200 steps the variance is 0.01 instead of 0.10, and falls as long as
# one goes on. The mean goes to 0.667, the point that decodes best. This is an autoencoder. It
# copies well, but its codes lie where they like, and a draw from the prior meets none of them.
#
# *How to notice:* $\sigma$ falls all through the training. Copies are sharp, samples are not.

# %% [markdown] lang="zh" of="e19" en="602aeb97"
# ## E19 · “KL 项只是正则化”
#
# 既然是正则项，似乎可以不要。剩下的部分要为噪声付出代价，却得不到任何好处，于是把噪声关掉：200 步
# 之后方差是 0.01 而不是 0.10，再走下去还会降。均值走到 0.667，那是解码最准的点。这是自编码器。它
# 抄得很好，但编码想待在哪里就待在哪里，从先验抽出的样本一个也碰不上。
#
# **怎样发现**：$\sigma$ 在训练中一直下降。重构清晰，样本不像样。


# %%
def wrong(mu, logvar):
    return misses(w * (mu + (0.5 * logvar).exp() * epsilon))


def right(mu, logvar):
    return misses(w * (mu + (0.5 * logvar).exp() * epsilon)) + kl(mu, logvar)


without, whole = settled(wrong), settled(right)
paths["E19: without KL"] = without
print(f"sigma^2: wrong {without[-1, 1]:.2f}  right {whole[-1, 1]:.2f}")
claim("0.01", without[-1, 1])
claim("0.10", whole[-1, 1])
claim("0.667", without[-1, 0])

# %% [markdown] id="e20"
# ## E20 · “The decoder gives $\hat x = \mu(z) + \sigma(z)\,\epsilon$, so gradients get through”
#
# The formula is right and stands in the wrong place. What has to be drawn, and so needs the trick,
# is the *code*, from the encoder's $\mu(x)$ and $\sigma(x)$. Behind the decoder the noise makes the
# picture grainy, and the code is a point as in E18. With the KL term as it was, the variance settles
# at 0.500 instead of 0.100: there, $\sigma$ cannot learn how strongly the decoder amplifies what is
# drawn.
#
# *How to notice:* the noise has the shape of the code, (N, J), not that of the picture.

# %% [markdown] lang="zh" of="e20" en="d5ea4d1a" captions={"variance_of_the_code": "一个编码的方差：完整的 VAE，以及三个各缺一部分的。"}
# ## E20 · “解码器给出 $\hat x = \mu(z) + \sigma(z)\,\epsilon$，梯度就能通过”
#
# 公式没错，放错了地方。需要抽样、因而需要这个技巧的，是**编码**，用编码器的 $\mu(x)$ 和
# $\sigma(x)$。放在解码器之后，噪声只会让图像出现颗粒，编码仍像 E18 那样是一个点。KL 项照旧，方差停在 0.500，
# 而不是 0.100：编码器的 $\sigma$ 在那里无从知道解码器会把它放大多少。
#
# **怎样发现**：噪声的形状应与编码相同，(N, J)，而不是与图像相同。


# %%
def wrong(mu, logvar):
    return misses(w * mu + (0.5 * logvar).exp() * epsilon) + kl(mu, logvar)


def right(mu, logvar):
    return misses(w * (mu + (0.5 * logvar).exp() * epsilon)) + kl(mu, logvar)


behind, on_the_code = settled(wrong), settled(right)
paths["E20: noise behind the decoder"] = behind
print(f"sigma^2: wrong {behind[-1, 1]:.3f}  right {on_the_code[-1, 1]:.3f}")
claim("0.500", behind[-1, 1])
claim("0.100", on_the_code[-1, 1])

# %%
figure = Figure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots()
styles = ((BLUE, "-", 0.108), (ORANGE, "--", 1.07), (PINK, "-.", 0.016), (GREEN, ":", 0.54))
for (name, path), (color, line, height) in zip(paths.items(), styles):
    axes.semilogy(path[:, 1], line, color=color, linewidth=2)
    axes.annotate(name, (198, height), ha="right", color=color)
axes.axhline(0.1, color="black", linewidth=0.8)
axes.annotate("Bayes' rule", (198, 0.09), ha="right", va="top")
axes.set(xlabel="steps of descent", ylabel="variance of the code")
axes.set(xlim=(0, 200), ylim=(0.008, 1.7))
axes.set_yticks([0.01, 0.1, 0.5, 1], labels=["0.01", "0.1", "0.5", "1"])
axes.minorticks_off()
show(figure, "variance_of_the_code", "The variance of one code: a VAE, and three that lack a part.")

# %% [markdown] id="e21"
# ## E21 · “Attention is softmax($QK^\top$)$\,V$”
#
# The factor $1/\sqrt d$ looks like a constant that the weights could learn. But the product of two
# random vectors of $d$ numbers has the variance $d$: at $d = 64$ the scores spread by 8, and
# softmax picks one key. The largest of 16 weights is 0.84 on average, before anything was learned;
# with the factor it is 0.24. Near its corners softmax has hardly a slope, and it is through this
# slope that the weights would have to learn the constant.
#
# *How to notice:* draw the attention of an untrained model. It should look like fog.

# %% [markdown] lang="zh" of="e21" en="0f1492d0"
# ## E21 · “注意力就是 softmax($QK^\top$)$\,V$”
#
# 因子 $1/\sqrt d$ 看上去只是个常数，权重自己就能学会。但两个各含 $d$ 个数的随机向量，内积的方差是
# $d$：$d = 64$ 时分数散布达 8，softmax 只挑中一个键。什么都还没学，16 个权重中最大的平均已有
# 0.84；有这个因子，是 0.24。softmax 在角落附近几乎没有斜率，而权重要学会那个常数，靠的正是这个斜
# 率。
#
# **怎样发现**：画出未经训练的模型的注意力。它应当像一片雾。


# %%
def wrong(q, k):
    return softmax(q @ k.T)


def right(q, k):
    return softmax(q @ k.T / np.sqrt(q.shape[-1]))


rng = np.random.default_rng(0)
q, k = rng.standard_normal((1000, 64)), rng.standard_normal((16, 64))
largest = {weights: weights(q, k).max(-1).mean() for weights in (wrong, right)}
print(f"the largest of 16 weights: wrong {largest[wrong]:.2f}  right {largest[right]:.2f}")
claim("0.84", largest[wrong])
claim("0.24", largest[right])

# %% [markdown] id="e22"
# ## E22 · “softmax(scores, dim=1)”
#
# For one sequence, scores of (T, T), `dim=1` is the axis of the keys. For a batch, (N, T, T), the
# same line means the queries: every key deals out *its* weight among those who ask. The picture
# still has the triangle of the mask and the columns still add up to 1. But the rows add up to
# anything, here from 0.10 to 2.69, and the mask is undone: a column's sum contains later queries.
# Change the last token, and earlier outputs move by up to 0.37. They should move by 0.00. Write
# `dim=-1`.
#
# *How to notice:* change the last token of any causal model, and look at the others.

# %% [markdown] lang="zh" of="e22" en="d077487e"
# ## E22 · “softmax(scores, dim=1)”
#
# 对单个序列，分数的形状是 (T, T)，`dim=1` 是键的方向。成批之后，形状是 (N, T, T)，同一行代码指的
# 却是查询：每个键把**自己**的权重分给来问的各个查询。图上仍有掩码的三角形，各列之和仍是 1。但各行之
# 和什么都可能，这里从 0.10 到 2.69；掩码也失效了，因为一列的和里含有后面的查询。改动最后一个词
# 元，前面的输出最多变了 0.37。它们应当变 0.00。请写 `dim=-1`。
#
# **怎样发现**：对任何因果模型，改动最后一个词元，看看其余的输出。

# %%
mask = np.tril(np.ones((6, 6), bool))  # query i may see keys up to i


def wrong(scores):
    return softmax(np.where(mask, scores, -np.inf), axis=1)  # (N, query, key)


def right(scores):
    return softmax(np.where(mask, scores, -np.inf), axis=-1)


def moved(weights):
    """By how much earlier outputs change with the last token."""
    other = sequence.copy()
    other[..., -1, :] += 1
    before, after = (weights(q @ k.mT / np.sqrt(8)) @ v for q, k, v in (sequence, other))
    return np.abs(after - before)[:, :-1].max()


sequence = np.random.default_rng(0).standard_normal((3, 1, 6, 8))  # q, k, v of 6 tokens
q, k, _ = sequence
rows = wrong(q @ k.mT / np.sqrt(8)).sum(-1)
print(f"moved: wrong {moved(wrong):.2f}  right {moved(right):.2f}; rows add up to", rows.round(2))
claim("0.37", moved(wrong))
claim("0.00", moved(right))
claim("0.10", rows.min())
claim("2.69", rows.max())

# %% [markdown] id="e23"
# ## E23 · “weights = softmax(scores) * mask”
#
# The zeros are in the right places, and a picture of the weights shows nothing. But softmax has
# divided by a sum over *all* keys, the later ones too, before they were crossed out. So the size of
# every output tells of the future: it moves by 0.11. Put $-\infty$ in their places before the
# softmax, and it is 0.00.
#
# *How to notice:* rows of weights that add up to less than 1.

# %% [markdown] lang="zh" of="e23" en="ae4c3d95"
# ## E23 · “weights = softmax(scores) * mask”
#
# 零都在该在的地方，权重图上看不出毛病。但 softmax 在划掉之前，已经除以了**所有**键的和，后面的也在
# 内。于是每个输出的大小都透露着未来：它变了 0.11。在 softmax 之前把那些位置填成 $-\infty$，就是
# 0.00。
#
# **怎样发现**：权重各行之和小于 1。


# %%
def wrong(scores):
    return softmax(scores) * mask


def right(scores):
    return softmax(np.where(mask, scores, -np.inf))


print(f"earlier outputs moved: wrong {moved(wrong):.2f}  right {moved(right):.2f}")
claim("0.11", moved(wrong))
claim("0.00", moved(right))

# %% [markdown] id="e24"
# ## E24 · “`for i in range(0, d, 2): angle = t / 10000 ** (2 * i / d)`”
#
# In the formula, pair $i$ of sine and cosine turns with $t / 10000^{2i/d}$, where $i$ counts *pairs*.
# A loop in steps of two has the factor 2 already. Doubled once more, the frequencies fall twice as
# fast: of 32 pairs only 9 go around within 1,000 positions, instead of 18. The rest hardly move,
# and half of the vector says nothing.
#
# *How to notice:* draw the table of positions. Its right half should not be plain.

# %% [markdown] lang="zh" of="e24" en="32311487"
# ## E24 · “`for i in range(0, d, 2): angle = t / 10000 ** (2 * i / d)`”
#
# 公式里，第 $i$ 对正弦和余弦按 $t / 10000^{2i/d}$ 转动，$i$ 数的是**对**。步长为 2 的循环，已经含有
# 因子 2。再乘一次，频率就降得快了一倍：32 对之中，在 1,000 个位置内转满一圈的只有 9 对，而不是 18
# 对。其余的几乎不动，向量有一半什么也没说。
#
# **怎样发现**：画出位置编码表。右半边不该是一片平淡。


# %%
def wrong(t, d):
    return np.array([t / 10000 ** (2 * i / d) for i in range(0, d, 2)])


def right(t, d):
    return np.array([t / 10000 ** (2 * i / d) for i in range(d // 2)])


turned = {angle: (angle(1000, 64) >= 2 * np.pi).sum() for angle in (wrong, right)}
print(f"pairs that go around in 1,000 positions: wrong {turned[wrong]}  right {turned[right]}")
claim("9", turned[wrong])
claim("18", turned[right])

# %% [markdown] id="e25"
# ## E25 · “The network ends in softmax, the loss is `cross_entropy`”
#
# Each is right alone. `cross_entropy` takes logits and applies softmax itself; given probabilities,
# it takes them for logits that lie between 0 and 1. Then even ten classes predicted surely and
# rightly cost 1.461, which is $\ln(1 + 9/e)$, instead of 0.000. Since it still learns something, the
# loss looks like one of a hard problem.
#
# *How to notice:* the loss stops near 1.46 while everything is classified rightly. Give it a
# perfect answer.

# %% [markdown] lang="zh" of="e25" en="dbe41cff"
# ## E25 · “网络以 softmax 结尾，损失用 `cross_entropy`”
#
# 单看哪个都对。`cross_entropy` 要的是 logits，softmax 由它自己来做；给它概率，它就当成介于 0 与 1
# 之间的 logits。这样，十个类别即使全都判对、而且十分肯定，也要付 1.461，即 $\ln(1 + 9/e)$，而不是
# 0.000。它毕竟还能学到一些东西，所以看上去只像是题目太难。
#
# **怎样发现**：明明全都分对了，损失却停在 1.46 附近。给它一个完美的答案试试。


# %%
def wrong(logits, target):
    return F.cross_entropy(F.softmax(logits, dim=-1), target).item()


def right(logits, target):
    return F.cross_entropy(logits, target).item()


perfect, target = 50 * minigen.eye(10), minigen.arange(10)
print(f"a perfect answer: wrong {wrong(perfect, target):.3f}  right {right(perfect, target):.3f}")
claim("1.461", wrong(perfect, target))
claim("0.000", right(perfect, target))
claim("1.46", np.log(1 + 9 / np.e))

# %% [markdown] id="e26"
# ## E26 · “Adam: $m$ and $v$ are running averages, the step is $m/\sqrt v$”
#
# Averages that begin at 0 are too small at first, and one expects a timid start. It is the reverse.
# $v$ is averaged more slowly than $m$: after one step $m$ is a tenth of the gradient, but $\sqrt v$
# only $\sqrt{0.001}$ of it. The first step is 3.16 times the learning rate instead of 1.00 times,
# in every weight at once.
#
# *How to notice:* the first step of Adam has the size of the learning rate, whatever the gradient.

# %% [markdown] lang="zh" of="e26" en="c217dee7"
# ## E26 · “Adam：$m$ 和 $v$ 是滑动平均，步长是 $m/\sqrt v$”
#
# 从 0 开始的平均，起初总是偏小，所以人们以为起步会畏缩。恰恰相反。$v$ 的平均比 $m$ 慢：走一步之
# 后，$m$ 是梯度的十分之一，$\sqrt v$ 却只有它的 $\sqrt{0.001}$。第一步是学习率的 3.16 倍，而不是
# 1.00 倍，而且所有权重同时如此。
#
# **怎样发现**：不论梯度多大，Adam 第一步的大小都等于学习率。


# %%
def wrong(g, rate, beta1=0.9, beta2=0.999):
    m, v = (1 - beta1) * g, (1 - beta2) * g**2
    return rate * m / np.sqrt(v)


def right(g, rate, beta1=0.9, beta2=0.999):
    m, v = (1 - beta1) * g, (1 - beta2) * g**2
    return rate * (m / (1 - beta1)) / np.sqrt(v / (1 - beta2))


print(f"first step: wrong {wrong(5.0, 1.0):.2f}  right {right(5.0, 1.0):.2f} learning rates")
claim("3.16", wrong(5.0, 1.0))
claim("1.00", right(5.0, 1.0))
weight = minigen.zeros(1, requires_grad=True)
optimizer = optim.Adam([weight], lr=0.5)
(5.0 * weight).sum().backward()
optimizer.step()
assert np.isclose(-weight.item(), right(5.0, 0.5))

# %% [markdown] id="e27"
# ## E27 · “`model(x)` is the prediction”
#
# In training, BatchNorm normalises with the mean of the batch, so the answer for one picture depends
# on the others that happen to be asked with it. Exchange the other seven of a batch of 8, and the
# answer for the first changes by up to 0.43. After `eval()` the averages of the training are used, and
# it changes by 0.00. (Dropout has the same switch. `no_grad()` is another one; it only saves
# memory.)
#
# *How to notice:* ask for one picture alone and in company.

# %% [markdown] lang="zh" of="e27" en="23273b3e"
# ## E27 · “`model(x)` 就是预测”
#
# 训练时，BatchNorm 用这一批的均值来归一化，所以一幅图像的答案，取决于碰巧同它一起送来的是谁。一批
# 8 幅，换掉另外七幅，第一幅的答案最多变了 0.43。`eval()` 之后用的是训练中的平均，变化是 0.00。
# （Dropout 也由这个开关管。`no_grad()` 是另一个开关，只省内存。）
#
# **怎样发现**：同一幅图像，单独问一次，夹在别的图像里再问一次。


# %%
def wrong(model, batch):
    return model.train()(batch)


def right(model, batch):
    return model.eval()(batch)


pictures = np.random.default_rng(0).standard_normal((40, 8, 4), dtype=np.float32) * 2 + 1
batches = [minigen.from_numpy(batch) for batch in pictures]
company = minigen.cat([batches[0][:1], batches[1][1:]])  # the first of batch 0 among others


def changed(ask):
    model = nn.BatchNorm1d(4)
    for batch in batches:
        model(batch)
    return (ask(model, batches[0])[0] - ask(model, company)[0]).abs().max().item()


print(f"changed: wrong {changed(wrong):.2f}  right {changed(right):.2f}")
claim("0.43", changed(wrong))
claim("0.00", changed(right))

# %% [markdown] id="e28"
# ## E28 · “Weight tying: logits = h @ embedding”
#
# The embedding $E$ has a row for every token, (V, d); so has the weight of a `Linear` from d to V.
# To tie them, both layers hold *the same* array, and the product is $hE^\top$. Written without the
# transpose it fails at once, unless V = d. In a toy example, 32 tokens of 32 numbers each, it runs.
# Given a token's own embedding, $hE^\top$ finds the token again in 100 % of all cases, $hE$ in 6 %.
#
# *How to notice:* in trials, let no two sizes be equal.

# %% [markdown] lang="zh" of="e28" en="922c8796"
# ## E28 · “权重共享：logits = h @ embedding”
#
# 嵌入矩阵 $E$ 每个词元占一行，形状 (V, d)；从 d 到 V 的 `Linear`，权重也是这个形状。所谓共享，是
# 两层持有**同一个**数组，乘积是 $hE^\top$。忘了转置，通常立刻报错，除非 V = d。在一个小例子里，32
# 个词元，各 32 个数，它就跑通了。给它某个词元自己的嵌入，$hE^\top$ 认回这个词元的比例是 100 %，
# $hE$ 是 6 %。
#
# **怎样发现**：试验时，别让任何两个尺寸相等。


# %%
def wrong(h, embedding):
    return h @ embedding


def right(h, embedding):
    return h @ embedding.T  # (N, d), (V, d) -> (N, V)


embedding = np.random.default_rng(0).standard_normal((32, 32))
found = {
    read: (read(embedding, embedding).argmax(1) == np.arange(32)).mean() for read in (wrong, right)
}
print(f"found again: wrong {found[wrong]:.0%}  right {found[right]:.0%}")
claim("6 %", found[wrong])
claim("100 %", found[right])

# %% [markdown] id="e29"
# ## E29 · “Perplexity is $2^L$”
#
# It is, if $L$ is in bits. Every library's cross-entropy is in nats. A model that hesitates between
# 64 equally likely characters has the loss $\ln 64$ and the perplexity 64.0; $2^L$ makes it 17.9.
# Errors in this direction are found late, since they please. And average first: the mean of the
# perplexities of batches is not the perplexity.
#
# *How to notice:* equal chances for V tokens must give V.

# %% [markdown] lang="zh" of="e29" en="0fe34c1e"
# ## E29 · “困惑度是 $2^L$”
#
# 如果 $L$ 以比特计，是的。可各种库的交叉熵都以纳特计。模型若在 64 个等可能的字符之间拿不定主意，
# 损失是 $\ln 64$，困惑度是 64.0；$2^L$ 却得 17.9。往这个方向的错误发现得晚，因为它讨人喜欢。还
# 有，要先平均：各批困惑度的平均，不等于困惑度。
#
# **怎样发现**：V 个词元机会均等，就该得到 V。


# %%
def wrong(loss):
    return 2**loss


def right(loss):
    return np.exp(loss)


logits, target = minigen.zeros(1, 64), minigen.zeros(1, dtype=minigen.int64)
loss = F.cross_entropy(logits, target).item()
print(f"64 equal chances: wrong {wrong(loss):.1f}  right {right(loss):.1f}")
claim("17.9", wrong(loss))
claim("64.0", right(loss))

# %% [markdown] id="e30"
# ## E30 · “Divide the probabilities by the temperature”
#
# And make them add up to 1 again. That gives exactly what there was before, at any temperature: a
# factor common to all goes away when one normalises. Among the logits 2, 1, 0 the first keeps 0.665
# at the temperature `0.5`. Divided where they are logits, before softmax, it gets 0.867.
#
# *How to notice:* near the temperature 0 there must be no chance left in it.

# %% [markdown] lang="zh" of="e30" en="07612faa"
# ## E30 · “用温度去除概率”
#
# 再让它们的和重新等于 1。不论温度多少，得到的都与原来一模一样：所有项共有的因子，归一化时就消掉
# 了。logits 为 2、1、0，温度为 `0.5` 时，第一个仍是 0.665。在 softmax 之前，趁它们还是 logits 时
# 去除，则是 0.867。
#
# **怎样发现**：温度接近 0 时，结果里不该再有偶然。


# %%
def wrong(logits, temperature):
    p = softmax(logits) / temperature
    return p / p.sum()


def right(logits, temperature):
    return softmax(logits / temperature)


logits = np.array([2.0, 1.0, 0.0])
print(f"temperature 0.5: wrong {wrong(logits, 0.5)[0]:.3f}  right {right(logits, 0.5)[0]:.3f}")
claim("0.665", wrong(logits, 0.5)[0])
claim("0.867", right(logits, 0.5)[0])
nothing = minigen.zeros(1, 0, dtype=minigen.int64)
ours = Sampling(temperature=0.5).probabilities(minigen.tensor(logits)[None], nothing)
assert np.allclose(ours.numpy(), right(logits, 0.5))

# %% [markdown] id="e31"
# ## E31 · “Top-p keeps the likeliest tokens while their sum is at most $p$”
#
# The nucleus is the smallest set that has *at least* $p$, so the token that crosses the line
# belongs to it. Of 50, 30, 15 and 5 percent, $p = 0.6$ keeps the first two, 0.80 together. Stopping
# before the line keeps 0.50. If the first token alone has more than $p$, it keeps nothing at all,
# and the draw fails on exactly those sentences where the model was sure.
#
# *How to notice:* try a distribution with one very likely token.

# %% [markdown] lang="zh" of="e31" en="07bd0531"
# ## E31 · “top-p 保留最可能的词元，只要它们的和不超过 $p$”
#
# 所谓核，是和**至少**为 $p$ 的最小集合，越线的那个词元也在其中。概率为百分之 50、30、15 和 5，
# $p = 0.6$，应保留前两个，合起来 0.80。线前就停，只留下 0.50。如果第一个词元就超过了 $p$，那就一
# 个也不剩，而采样偏偏在模型最有把握的句子上失败。
#
# **怎样发现**：拿一个含有极可能词元的分布试一试。


# %%
def wrong(p, top):
    order = np.argsort(-p)
    return order[np.cumsum(p[order]) <= top]


def right(p, top):
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]
    return order[before < top]


p = np.array([0.5, 0.3, 0.15, 0.05])
print(f"kept: wrong {p[wrong(p, 0.6)].sum():.2f}  right {p[right(p, 0.6)].sum():.2f}")
claim("0.50", p[wrong(p, 0.6)].sum())
claim("0.80", p[right(p, 0.6)].sum())
claim("0", len(wrong(np.array([0.9, 0.1]), 0.6)))
ours = keep_nucleus(minigen.tensor(np.log(p))[None], 0.6)[0].exp().numpy()
assert np.array_equal(np.flatnonzero(ours), np.sort(right(p, 0.6)))

# %% [markdown] id="e32"
# ## E32 · “$x_t = \bar\alpha_t x_0 + (1-\bar\alpha_t)\,\epsilon$”
#
# So much picture, so much noise, together 1: it reads well. But it is variances that add up, not
# the factors. At $\bar\alpha = 1/2$ the mixture has the variance 0.50, where diffusion, by
# $\sqrt{\bar\alpha}$ and $\sqrt{1-\bar\alpha}$, keeps 1.00 all the way. The network then sees its
# input shrink and swell with $t$, and the sampler's equations belong to another process. (Flow
# matching does mix by $1-t$ and $t$, with equations of its own.)
#
# *How to notice:* noise data of variance 1, and look at the variance for a few $t$.

# %% [markdown] lang="zh" of="e32" en="c3bf3794"
# ## E32 · “$x_t = \bar\alpha_t x_0 + (1-\bar\alpha_t)\,\epsilon$”
#
# 这么多图像，这么多噪声，合起来是 1，读着很顺。但相加的是方差，不是系数。$\bar\alpha = 1/2$ 时，
# 这样混出来的方差是 0.50；扩散按 $\sqrt{\bar\alpha}$ 和 $\sqrt{1-\bar\alpha}$ 混合，方差始终保持
# 1.00。写错了，网络看到的输入就随 $t$ 忽大忽小，采样器的公式也成了另一个过程的公式。（流匹配确实
# 按 $1-t$ 和 $t$ 混合，但它有自己的一套方程。）
#
# **怎样发现**：给方差为 1 的数据加噪声，取几个 $t$ 看看方差。


# %%
def wrong(x, noise, abar):
    return abar * x + (1 - abar) * noise


def right(x, noise, abar):
    return np.sqrt(abar) * x + np.sqrt(1 - abar) * noise


# All four pairs of signs: two variables of mean 0 and variance 1 that know nothing of each other.
x, noise = np.array([-1.0, -1.0, 1.0, 1.0]), np.array([-1.0, 1.0, -1.0, 1.0])
print(f"variance: wrong {wrong(x, noise, 0.5).var():.2f}  right {right(x, noise, 0.5).var():.2f}")
claim("0.50", wrong(x, noise, 0.5).var())
claim("1.00", right(x, noise, 0.5).var())
diffusion, t = Diffusion("cosine", steps=100), minigen.full((4,), 30)
ours = diffusion.noised(minigen.tensor(x), t, minigen.tensor(noise)).numpy()
assert np.allclose(ours, right(x, noise, diffusion.abar[30]))

# %% [markdown] id="questions"
# ## Six questions that would have found them
#
# Hardly one of these mistakes is found by reading. Nearly all are found by asking the code
# something to which the answer is known.
#
# | ask | found |
# |---|---|
# | What is the least it can be? Does it go below? | E3, E15, E25 |
# | What does an undecided, a perfect, an untrained one get? | E2, E6, E7, E10, E12, E21, E25, E26, E29, E31 |
# | What must *not* matter: the neighbours, the future, the batch's size? | E11, E22, E23, E27 |
# | What must matter: the temperature, the draw, the label? | E17, E18, E30 |
# | Does it agree with a second way: draws, Bayes' rule, a limit? | E1, E5, E16, E19, E20, E32 |
# | Does it hold with three dimensions, two operations, no two sizes equal? | E6, E13, E14, E28 |

# %% [markdown] lang="zh" of="questions" en="1f498453"
# ## 六个本可以发现它们的问题
#
# 这些错误几乎没有哪个是读出来的。几乎每一个，只要拿已知答案的问题去问代码，就会露出来。
#
# | 问什么 | 能发现 |
# |---|---|
# | 它最小能到多少？会不会更低？ | E3、E15、E25 |
# | 拿不定主意的、完美的、未经训练的，各得多少？ | E2、E6、E7、E10、E12、E21、E25、E26、E29、E31 |
# | 什么**不该**有影响：邻居、未来、批次大小？ | E11、E22、E23、E27 |
# | 什么必须有影响：温度、抽样、标签？ | E17、E18、E30 |
# | 换一条路，结果一致吗：抽样、贝叶斯公式、极限？ | E1、E5、E16、E19、E20、E32 |
# | 三个维度、两步运算、尺寸各不相等时，还成立吗？ | E6、E13、E14、E28 |

# %% [markdown] id="snippets"
# ## Find the bug
#
# Six snippets, one bug each, none of them from above. All run, and what they return looks well.
# Read them first and note what you suspect; then ask them the questions. Each exercise wants the
# same function without the bug. The cell after it shows the snippet's symptom and tries yours.

# %% [markdown] lang="zh" of="snippets" en="d972c31c"
# ## 找出错误
#
# 六段代码，每段一个错，都是上面没有的。全都能运行，返回的数看上去也都正常。先读一遍，记下你怀疑哪
# 里；然后拿那些问题去问它们。每道练习要的是同一个函数的正确版本；后面的单元格先展示原来那段的症状，
# 再试你的。


# %%
def snippet_1(generator, discriminator, real, codes):
    """The discriminator's half of a step: leaves slopes in the discriminator."""
    fake = generator(codes)
    right_on_real = F.softplus(-discriminator(real)).mean()
    right_on_fake = F.softplus(discriminator(fake)).mean()
    loss = (right_on_real + right_on_fake) / 2
    loss.backward()
    return loss.item()


def snippet_2(logits, x, mu, logvar):
    """The loss of a VAE: (N, D), (N, D), (N, J), (N, J) -> a number, nats an image."""
    misses = np.logaddexp(0, logits) - x * logits  # -ln p(x|z), pixel by pixel
    divergence = -0.5 * (1 + logvar - mu**2 - np.exp(logvar))
    reconstruction = misses.sum(axis=1).mean()
    return reconstruction + divergence.sum()


def snippet_3(q, k, v):
    """Causal attention: three times (T, d) -> (T, d)."""
    scores = q @ k.T / np.sqrt(q.shape[-1])
    allowed = np.tril(np.ones_like(scores))
    weights = softmax(scores * allowed)
    return weights @ v


def snippet_4(logits, k):
    """The probabilities of the next token, of which the k likeliest remain: (V,) -> (V,)."""
    smallest = np.sort(logits)[-k]
    kept = logits.copy()
    kept[logits < smallest] = 0
    return softmax(kept)


def snippet_5(x, running, momentum=0.1, eps=1e-5):
    """BatchNorm in training, as PyTorch has it: (N, C), (C,) -> (N, C), the new running mean."""
    mean, variance = x.mean(axis=0), x.var(axis=0)
    running = momentum * running + (1 - momentum) * mean
    return (x - mean) / np.sqrt(variance + eps), running


def snippet_6(logits, tokens):
    """The loss of a language model, nats a token: (T, V) at tokens (T,) -> a number."""
    logits, targets = logits[:-1], tokens[:-1]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    of_targets = log_p[np.arange(len(targets)), targets]
    return -of_targets.mean()


# %% [markdown] id="bug1" exercise="bug1"
# **1.** After the discriminator's half of a step the generator should be as if nothing had been
# asked of it. Print its slopes.

# %% [markdown] lang="zh" of="bug1" en="18e144aa"
# **1.** 判别器走完它那半步，生成器应当像什么也没被问过一样。把它的斜率打印出来看看。


# %% solution="bug1"
def mended_1(generator, discriminator, real, codes):
    """The discriminator's half of a step: leaves slopes in the discriminator."""
    # BEGIN SOLUTION
    fake = generator(codes).detach()  # the generator is none of this half's business
    right_on_real = F.softplus(-discriminator(real)).mean()
    right_on_fake = F.softplus(discriminator(fake)).mean()
    loss = (right_on_real + right_on_fake) / 2
    loss.backward()
    return loss.item()
    # END SOLUTION


# %%
def slopes_left(step):
    """How steep the generator and the discriminator are, after a step of the latter."""
    minigen.manual_seed(0)
    generator, discriminator = nn.Linear(2, 3), nn.Linear(3, 1)
    step(generator, discriminator, minigen.randn(8, 3), minigen.randn(8, 2))
    return [
        0.0 if network.weight.grad is None else network.weight.grad.norm().item()
        for network in (generator, discriminator)
    ]


theirs, yours = slopes_left(snippet_1), slopes_left(mended_1)
print("slopes of generator, discriminator:", np.round(theirs, 3), "mended:", np.round(yours, 3))
assert theirs[0] > 0, "the snippet has lost its bug"
assert yours[0] == 0, "the generator still gets slopes from the discriminator's loss"
assert np.isclose(yours[1], theirs[1]), "the discriminator's own slopes must stay as they were"

# %% [markdown] id="bug2" exercise="bug2"
# **2.** The loss is in nats an image. Give the function every image twice.

# %% [markdown] lang="zh" of="bug2" en="ef6e5f13"
# **2.** 这个损失是每幅图像多少纳特。把每幅图像都给它两遍。


# %% solution="bug2"
def mended_2(logits, x, mu, logvar):
    """The loss of a VAE: (N, D), (N, D), (N, J), (N, J) -> a number, nats an image."""
    # BEGIN SOLUTION
    misses = np.logaddexp(0, logits) - x * logits  # -ln p(x|z), pixel by pixel
    divergence = -0.5 * (1 + logvar - mu**2 - np.exp(logvar))
    reconstruction = misses.sum(axis=1).mean()
    rate = divergence.sum(axis=1).mean()  # over images too: else beta is their number
    return reconstruction + rate
    # END SOLUTION


# %%
rng = np.random.default_rng(0)
images = [rng.standard_normal((4, 6)), rng.random((4, 6)), *rng.standard_normal((2, 4, 2))]
twice = [np.concatenate([array, array]) for array in images]
for name, loss in (("snippet", snippet_2), ("mended", mended_2)):
    print(f"{name}: {loss(*images):.3f} nats an image, every image twice: {loss(*twice):.3f}")
assert not np.isclose(snippet_2(*images), snippet_2(*twice)), "the snippet has lost its bug"
assert np.isclose(mended_2(*images), mended_2(*twice)), "it still depends on the batch's size"
one = [array[:1] for array in images]
assert np.isclose(mended_2(*one), snippet_2(*one)), "for one image, the snippet is right"

# %% [markdown] id="bug3" exercise="bug3"
# **3.** Change the last token and look at the first output.

# %% [markdown] lang="zh" of="bug3" en="39b0936b"
# **3.** 改动最后一个词元，看第一个输出。


# %% solution="bug3"
def mended_3(q, k, v):
    """Causal attention: three times (T, d) -> (T, d)."""
    # BEGIN SOLUTION
    scores = q @ k.T / np.sqrt(q.shape[-1])
    allowed = np.tril(np.ones_like(scores, dtype=bool))
    scores = np.where(allowed, scores, -np.inf)  # a score of 0 is a weight of e^0
    weights = softmax(scores)
    return weights @ v
    # END SOLUTION


# %%
tokens = np.random.default_rng(0).standard_normal((3, 5, 4))
other = tokens.copy()
other[:, -1] += 1
for name, attention in (("snippet", snippet_3), ("mended", mended_3)):
    print(
        f"{name}: the first output moves by",
        np.round((attention(*other) - attention(*tokens))[0], 3),
    )
assert not np.allclose(snippet_3(*tokens)[0], snippet_3(*other)[0]), "the snippet has lost its bug"
assert np.allclose(mended_3(*tokens)[:-1], mended_3(*other)[:-1]), "the future still shows"
ours = F.scaled_dot_product_attention(*map(minigen.from_numpy, tokens[:, None]), is_causal=True)
assert np.allclose(mended_3(*tokens), ours.numpy()[0]), "causal, but not attention any more"

# %% [markdown] id="bug4" exercise="bug4"
# **4.** How likely is a token that was removed?

# %% [markdown] lang="zh" of="bug4" en="c81615ad"
# **4.** 被去掉的词元，概率是多少？


# %% solution="bug4"
def mended_4(logits, k):
    """The probabilities of the next token, of which the k likeliest remain: (V,) -> (V,)."""
    # BEGIN SOLUTION
    smallest = np.sort(logits)[-k]
    kept = logits.copy()
    kept[logits < smallest] = -np.inf  # a logit of 0 is no probability of 0
    p = softmax(kept)
    return p
    # END SOLUTION


# %%
logits = np.array([-1.0, -3.0, -2.0, -5.0])
print(
    "two of four: snippet", snippet_4(logits, 2).round(3), " mended", mended_4(logits, 2).round(3)
)
assert snippet_4(logits, 2)[3] > 0, "the snippet has lost its bug"
expected = softmax(logits[[0, 2]])
assert np.allclose(mended_4(logits, 2), [expected[0], 0, expected[1], 0]), "two tokens must be left"

# %% [markdown] id="bug5" exercise="bug5"
# **5.** Feed batches of mean 1 to a layer whose running mean is 0, with the usual momentum of
# `0.1`. What should the running mean be after the first?

# %% [markdown] lang="zh" of="bug5" en="1424c34f"
# **5.** 一层的滑动均值是 0，动量用通常的 `0.1`，给它均值为 1 的批次。第一批之后，滑动均值应当是多
# 少？


# %% solution="bug5"
def mended_5(x, running, momentum=0.1, eps=1e-5):
    """BatchNorm in training, as PyTorch has it: (N, C), (C,) -> (N, C), the new running mean."""
    # BEGIN SOLUTION
    mean, variance = x.mean(axis=0), x.var(axis=0)
    # PyTorch's momentum is the weight of the new batch.
    running = (1 - momentum) * running + momentum * mean
    normal = (x - mean) / np.sqrt(variance + eps)
    return normal, running
    # END SOLUTION


# %%
x = np.array([[0.0], [2.0]])  # of mean 1
layer = nn.BatchNorm1d(1, dtype=minigen.float64)
expected = layer(minigen.from_numpy(x)).detach().numpy()
means = [float(f(x, np.zeros(1))[1][0]) for f in (snippet_5, mended_5)]
print(f"running mean after one batch: snippet {means[0]:.1f}, mended {means[1]:.1f}")
assert not np.isclose(means[0], layer.running_mean.item()), "the snippet has lost its bug"
assert np.isclose(means[1], layer.running_mean.item()), "a single batch counts for a tenth"
assert np.allclose(mended_5(x, np.zeros(1))[0], expected), "the output itself was right"

# %% [markdown] id="bug6" exercise="bug6"
# **6.** What loss has a model that repeats the token it has just read, and has learned nothing
# else?

# %% [markdown] lang="zh" of="bug6" en="9a9c8bf8"
# **6.** 一个模型只会重复刚读到的词元，别的什么也没学。它的损失是多少？


# %% solution="bug6"
def mended_6(logits, tokens):
    """The loss of a language model, nats a token: (T, V) at tokens (T,) -> a number."""
    # BEGIN SOLUTION
    logits, targets = logits[:-1], tokens[1:]  # what comes after each
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    places = np.arange(len(targets))
    of_targets = log_p[places, targets]
    return -of_targets.mean()
    # END SOLUTION


# %%
tokens = np.array([0, 1, 2, 3, 0, 1, 2, 3])
parrot, prophet = 20 * np.eye(4)[tokens], 20 * np.eye(4)[(tokens + 1) % 4]
for name, loss in (("snippet", snippet_6), ("mended", mended_6)):
    print(f"{name}: parrot {loss(parrot, tokens):.2f}, prophet {loss(prophet, tokens):.2f}")
assert snippet_6(parrot, tokens) < 0.01, "the snippet has lost its bug"
assert mended_6(prophet, tokens) < 0.01, "who knows the next token must have no loss"
assert mended_6(parrot, tokens) > 1, "who repeats what it has read must have a loss"

# %% [markdown] id="use"
# ## What you may now use
#
# The right forms are in minigen, and the cells above compared several of them with `right`:
# `minigen.models.gan_losses` (E1, E2, E6, E15 to E17), `minigen.models.vae` (E3 to E5, E18 to E20),
# `minigen.nn.functional` (E7, E21 to E23, E25), `minigen.metrics` (E11, E12), whose scores carry
# their number of samples and what real data get, `minigen.models.sampling` (E30, E31),
# `minigen.models.diffusion` (E32) and `minigen.optim` (E26). For gradients of your own there is
# `minigen.testing`.
#
# And a habit: before you train anything, ask it something to which you know the answer.
# %% [markdown] lang="zh" of="use" en="7d846beb"
# ## 现在可以用的
#
# 正确的写法在 minigen 里都有，上面的单元格已拿其中好几个与 `right` 对照过：
# `minigen.models.gan_losses`（E1、E2、E6、E15 到 E17），`minigen.models.vae`（E3 到 E5、E18 到
# E20），`minigen.nn.functional`（E7、E21 到 E23、E25），`minigen.metrics`（E11、E12；它的分数都带
# 着样本数和真实数据的得分），`minigen.models.sampling`（E30、E31），`minigen.models.diffusion`
# （E32），`minigen.optim`（E26）。你自己写的梯度，用 `minigen.testing` 来查。
#
# 再留一个习惯：训练任何东西之前，先问它一件你知道答案的事。
