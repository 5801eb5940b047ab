# %% [markdown] id="question" goal="What each of two networks in a contest ends up with, and how it fails" minutes=1.5 after=["09"]
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

# %% [markdown] lang="zh" of="question" en="56adad42" goal="相互竞争的两个网络各自会落在哪里，又怎样失败"
# # 11 · 生成对抗网络
#
# VAE 的图像是逐个像素评分的，这看得出来：拿不准的地方，它就画成灰色。我们更想要一个看整体像不像真
# 的裁判。这样的裁判谁也写不出来，但可以学出来，就从它要评判的那些图像里学：判别器 $D$ 拿到真实数
# 据 $x$ 和编造的数据 $G(z)$，对每一个说出它是真的概率。生成器 $G$ 把噪声 $z$ 变成数据，训练它让裁
# 判相信（I. Goodfellow 等，“Generative Adversarial Nets”，arXiv 1406.2661）：
#
# $$\min_G \max_D V(D, G), \qquad
# V = \mathrm{E}_x[\ln D(x)] + \mathrm{E}_z[\ln (1 - D(G(z)))].$$
#
# 两个网络把同一个数往相反的方向拉：各自最后会落在哪里，路上又会出什么毛病？

# %%
import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import nn, optim
from minigen.chapters.lesson import claim, fast, show
from minigen.data import load_digits
from minigen.metrics import class_coverage, mode_coverage, ring_centres
from minigen.models import gan_losses
from minigen.nn import functional as F
from minigen.testing import assert_gradients
from minigen.viz.grid import tile

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


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
# \mathrm{KL}(q\|m)$, $m = (p + q)/2$, because $D^* = p/(2m)$ and $1 - D^* = q/(2m)$. It is 0 only
# where $p = q$, and then $D^* = 1/2$ everywhere: against a perfect judge, the best a generator can
# do is to draw from $p$ itself.
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

# %% [markdown] lang="zh" of="judge" en="7d90f791"
# ## 最好的裁判怎么说
#
# 设真实数据的密度为 $p$，生成数据的密度为 $q$，则
#
# $$V = \int p(x) \ln D(x) + q(x) \ln (1 - D(x))\; dx,$$
#
# 而 $D$ 在每个 $x$ 处可以单独选取。令 $p/D - q/(1 - D) = 0$，得
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)}, \qquad V(D^*) = -2 \ln 2 + 2\, \mathrm{JSD}(p, q),$$
#
# 其中 $\mathrm{JSD} = \frac{1}{2} \mathrm{KL}(p\|m) + \frac{1}{2} \mathrm{KL}(q\|m)$ 是
# Jensen-Shannon 散度，$m = (p + q)/2$；这是因为 $D^* = p/(2m)$，$1 - D^* = q/(2m)$。只有 $p = q$
# 时它才为 0，这时处处 $D^* = 1/2$：面对完美的裁判，生成器最好的办法就是从 $p$ 本身抽样。
#
# 网络输出的是对数几率 $a$，$D = 1/(1 + e^{-a})$。记 $s(a) = \ln (1 + e^a)$，则 $-\ln D = s(-a)$，
# $-\ln (1 - D) = s(a)$。$D$ 要降低的是 $-V/2$，也就是每个样本的交叉熵；完全分辨不出时它等于
# $\ln 2 = 0.693$：
#
# $$L_D = \frac{1}{2N} \sum_n s(-a_n) + s(a'_n), \qquad
# \frac{\partial L_D}{\partial a_n} = -\frac{1 - D(x_n)}{2N}, \qquad
# \frac{\partial L_D}{\partial a'_n} = \frac{D(x'_n)}{2N},$$
#
# 其中 $x'_n = G(z_n)$ 是生成的样本，$a'_n$ 是它们的对数几率。


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
# judge, and compare: the curve with $p/(p + q)$, its loss with $\ln 2 - \mathrm{JSD} = 0.423$.
# Where there are data, it is off by 0.004 on average. Its logit is then $\ln p/q$: a classifier of
# real and made-up data has learned the ratio of two densities, neither of which it was ever told.

# %% [markdown] lang="zh" of="trained" en="27335099" captions={"judge": "最好的判别器和训练出来的判别器。没有数据的地方，两者才分开。"}
# 训练出来的网络真会到达 $D^*$ 吗？在一条直线上取两个已知的密度，只训练裁判，然后比较：曲线与
# $p/(p + q)$ 比，损失与 $\ln 2 - \mathrm{JSD} = 0.423$ 比。在有数据的地方，它平均只差 0.004。这时
# 它的对数几率就是 $\ln p/q$：一个分辨真假的分类器学会了两个密度之比，尽管谁也没有告诉过它其中任何
# 一个。


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
claim("0.423", reached, trained=True, within=0.01)
claim("0.004", gap, trained=True, within=0.008)

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

# %% [markdown] lang="zh" of="generator" en="ad4539b1"
# ## 生成器在降低什么
#
# 按上面的博弈，$G$ 应当降低 $\ln (1 - D) = -s(a)$，即*极小极大*损失。实际中它降低的是
# $-\ln D = s(-a)$，称为*非饱和*损失。两者对对数几率的斜率是
#
# $$\frac{d}{da} \ln (1 - D) = -D, \qquad \frac{d}{da} (-\ln D) = -(1 - D).$$
#
# 两者都想要更大的 $a$，但要看各自什么时候不再用力。一开始 $G$ 很差，$D$ 也清楚这一点，比如
# $a = -8$，$D = 0.0003$：极小极大损失的斜率是 -0.0003，另一个是 -0.9997，陡了 2,981 倍。有一句流
# 传很广的话正好说反了：说是生成器*好到* $D \approx 1$ 时就没有梯度了。在 $a = 4$、$D = 0.982$ 处，
# 极小极大损失的斜率是 -0.982。饱和的是失败的一端。两者也不是“同一个损失换个写法”，虽然写着
# `BCE(D(fake), 1)` 的代码旁边常有这样的注释；它们只在终点上一致。


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

# %% [markdown] lang="zh" of="distance" en="cddddf64" captions={"slopes": "面对完美的裁判，两种损失对生成器均值的拉力。"}
# 这有多要紧？设 $p = \mathcal{N}(0, 1)$，生成器是 $\mathcal{N}(\theta, 1)$，只有 $\theta$ 要学。
# 完美裁判的对数几率是 $a(x) = \ln p/q = \theta^2/2 - \theta x$，两种损失对 $\theta$ 的斜率都是积
# 分。相距 6 时，极小极大损失的斜率是 0.012，另一个是 6.0。

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

# %% [markdown] lang="zh" of="step" en="2fe413c2"
# ## 两个网络，一步
#
# | 张量 | 形状 | 由谁产生 |
# |---|---|---|
# | 真实的 $x$ | (N, d) | 数据 |
# | 噪声 $z$ | (N, J) | 标准正态分布 |
# | 生成的 $x'$ | (N, d) | $G$，J 到 128 到 128 到 d |
# | $D$ 看到的 | (N/k, k d) | k 个同类样本并排；暂时 k = 1 |
# | 对数几率 $a$、$a'$ | (N/k, 1) | $D$，k d 到 128 到 128 到 1 |
#
# 一步之内先用一批数据改进 $D$，再改进 $G$。在 $D$ 的那一半，生成的样本要先*断开*：它们当作常数，
# 来历到此为止。


# %%
class GAN:
    def __init__(self, G, data, noise, pack=1, blur=0.0, lr_g=1e-3, lr_d=1e-3):
        self.noise, self.pack, self.blur = noise, pack, blur
        self.G, self.D = G, mlp(pack * data, 128, 1)
        self.adam_g = optim.Adam(G.parameters(), lr=lr_g, betas=(0.5, 0.999))
        self.adam_d = optim.Adam(self.D.parameters(), lr=lr_d, betas=(0.5, 0.999))

    def logits(self, x):
        if self.blur:
            x = x + self.blur * minigen.randn_like(x)  # for the digits below
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
        z = minigen.randn(count, self.noise, generator=minigen.Generator().manual_seed(2))
        self.G.eval()  # a batch norm then uses what it has seen in training
        made = self.G(z).numpy()
        self.G.train()
        return made


# %% [markdown] id="detach"
# ## Without the detach
#
# Forget it, and $D$'s loss walks back through $G$ as well. Predict what it leaves there, then look:
# the slopes of $\frac{1}{2} s(a')$ where $G$ asks for those of $-s(a')$. In direction they are its
# exact opposite, cosine -1.00. As long as `adam_g.zero_grad()` stands between the two `backward`
# calls, all that is lost is time. Move it to the top of the step, where it looks tidier, and
# everything adds up: with the minimax loss, about half of $G$'s gradient is gone; with the other
# one, $G$ is told to fool $D$ and to be found out, both at once. The same wrong direction is taken
# by whoever trains $G$ on the label "fake".

# %% [markdown] lang="zh" of="detach" en="0d95b3b8"
# ## 忘了断开
#
# 忘了这一步，$D$ 的损失也会一路反传进 $G$。先猜猜它在那里留下什么，再看：留下的是
# $\frac{1}{2} s(a')$ 的斜率，而 $G$ 要的是 $-s(a')$ 的斜率。方向恰好相反，余弦为 -1.00。只要两次
# `backward` 之间有 `adam_g.zero_grad()`，浪费的只是时间。若把它挪到一步的开头（看上去更整齐），两
# 份就会加在一起：用极小极大损失，$G$ 的梯度大约少了一半；用另一个损失，则是要 $G$ 既骗过 $D$，又
# 被 $D$ 识破。谁用“假”这个标签去训练 $G$，走的也是这个错误的方向。


# %%
def gradient_of_g(gan, loss):
    gan.adam_g.zero_grad()
    loss.backward()
    return np.concatenate([w.grad.numpy().ravel() for w in gan.G.parameters()])


minigen.manual_seed(0)
gan = GAN(mlp(2, 128, 2), data=2, noise=2)
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
# Real points lie around 8 centres on a circle of radius 2, with a standard deviation of `0.1`. In
# the plane we can see what a generator does, and count it: a centre is found if at least one in a
# hundred of the generated points lies within three standard deviations of it.
#
# Nothing in the loss asks $G$ to find all of them. Suppose $D$ learns slowly. The best answer to a
# $D$ that stands still is to put *every* point on the one place that it likes best. Then $D$
# learns to distrust that place, and $G$ moves them all to another. This is mode collapse, and it
# goes round for ever. In the first row below, $D$ learns a tenth as fast as $G$, and at none of
# the five moments shown is more than 1 centre found.
#
# The cure here is to let $D$ see more (Z. Lin and others, "PacGAN", arXiv 1712.04086): it judges
# *pairs*, both real or both generated. Two real points lie at the same centre one time in eight. If
# two generated ones always do, that gives them away at once. With pairs, and nothing else changed,
# all 8 are found, and 82 % of the points lie near one.

# %% [markdown] lang="zh" of="ring" en="190bea60" captions={"ring": "训练过程中的 1,000 个生成点；圆圈是真实点所在之处。"}
# ## 要找到八个地方
#
# 真实的点分布在 8 个中心周围，中心排在半径为 2 的圆上，标准差为 `0.1`。在平面上，生成器做了什么一
# 眼就能看到，还可以数出来：若至少百分之一的生成点落在某个中心的三个标准差之内，就算找到了它。
#
# 损失里没有哪一项要求 $G$ 找全。设想 $D$ 学得很慢。面对一个停着不动的 $D$，最好的对策是把*所有*点
# 都放到它最喜欢的那一处。然后 $D$ 学会怀疑那里，$G$ 又把所有点搬到另一处。这就是模式坍塌，而且会
# 没完没了地转下去：下图第一行里，$D$ 的学习率是 $G$ 的十分之一，图中五个时刻找到的中心最多只有 1
# 个。
#
# 这里的办法是让 $D$ 看到更多（Z. Lin 等，“PacGAN”，arXiv 1712.04086）：它评判的是*一对*点，两个
# 都真，或者两个都是生成的。两个真实的点落在同一中心旁的机会是八分之一；两个生成的点若每次都在一处，
# 马上就会露馅。改成一对一对地评判，别的都不变，8 个全找到了，82 % 的点落在某个中心附近。

# %%
CENTRES, STD = ring_centres(), 0.1


def draw_ring(count):
    centres = minigen.tensor(CENTRES.astype("float32"))
    return centres[minigen.randint(8, (count,))] + STD * minigen.randn(count, 2)


def train_on_ring(number=1500, **options):
    """What is generated at five moments of the training: (step, points)."""
    minigen.manual_seed(0)
    gan, seen = GAN(mlp(2, 128, 2), data=2, noise=2, **options), []
    for step in range(1, number + 1):
        gan.step(draw_ring(256))
        if step % (number // 5) == 0:
            seen.append((step, gan.draw(4000)))
    return seen


def found(points):
    return mode_coverage(points, CENTRES, STD, at_least=0.01)


ring = {
    "single points": train_on_ring(steps(1500), lr_d=1e-4),
    "pairs": train_on_ring(steps(1500), lr_d=1e-4, pack=2),
    "single, faster D": train_on_ring(steps(1500)),
}
figure = Figure((7, 4.7), layout="constrained")
for row, (name, seen) in zip(figure.subplots(3, 5), ring.items()):
    for axes, (step, points) in zip(row, seen):
        axes.plot(*CENTRES.T, "o", color=ORANGE, markersize=11, markerfacecolor="none")
        axes.plot(*points[:1000].T, ".", color=BLUE, markersize=1.5, alpha=0.5)
        axes.set_title(f"step {step}: {found(points).captured} of 8", fontsize=8)
        axes.set(xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), aspect="equal", xticks=[], yticks=[])
    row[0].set_ylabel(name)
show(figure, "ring", "1,000 generated points over the steps; the circles are where real ones lie.")
for name, seen in ring.items():
    last = found(seen[-1][1])
    print(f"{name:17}{last.captured} of 8, {last.high_quality:.0%} of the points near one")
most = max(found(points).captured for _, points in ring["single points"])
claim("1", most, trained=True, within=1)
claim("8", found(ring["pairs"][-1][1]).captured, trained=True)
claim("82 %", found(ring["pairs"][-1][1]).high_quality, trained=True, within=0.15)
claim("8", found(ring["single, faster D"][-1][1]).captured, trained=True)

# %% [markdown] id="balance"
# The third row keeps the pairs away and lets $D$ learn as fast as $G$: again all 8. So collapse is
# not a fate of the loss, but of who is ahead of whom, and packing is one way to help $D$ among
# several. One picture of good samples tells you about none of this. Count.

# %% [markdown] lang="zh" of="balance" en="380dbd6f"
# 第三行不用成对评判，而是让 $D$ 与 $G$ 学得一样快：同样 8 个全找到。可见坍塌不是这个损失的宿命，
# 而取决于谁领先于谁；成对评判只是帮助 $D$ 的办法之一。只看一张好看的样本图，这些都看不出来。要数。

# %% [markdown] id="digits"
# ## Digits
#
# The same class draws digits of 8 by 8 pixels. Two things are new. $G$ has a batch norm in its
# middle, without which the ten digits come out less evenly, and a sigmoid at its end. And $D$ sees
# every pixel with a little noise added. The real ones are whole sixteenths, about half of them
# exactly 0: a dead give-away that has nothing to do with digits, and that $D$ would live by.

# %% [markdown] lang="zh" of="digits" en="e495c583" captions={"digits": "10、100、300、1,000 和 3,000 步之后生成的数字；最后一行是真实的。"}
# ## 数字
#
# 同一个类也能画 8×8 像素的数字。有两处是新的。$G$ 的中间有一层批归一化，少了它，十个数字就出现得
# 不那么均匀；末端则是一个 sigmoid。另外，$D$ 看到的每个像素都加了一点噪声。真实的像素都是十六分之
# 几，约有一半恰好是 0：这是一眼就能看穿的破绽，与数字毫无关系，而 $D$ 会全靠它过活。

# %%
images, labels = load_digits()
order = np.random.default_rng(0).permutation(len(images))
pixels, labels = (images.reshape(-1, 64)[order] / 16).astype("float32"), labels[order]
kept, held_out = pixels[:1400], pixels[1400:]

minigen.manual_seed(0)
G = nn.Sequential(
    nn.Linear(16, 128), nn.LeakyReLU(0.2),
    nn.Linear(128, 128), nn.BatchNorm1d(128), nn.LeakyReLU(0.2),
    nn.Linear(128, 64), nn.Sigmoid(),
)  # fmt: skip
gan = GAN(G, data=64, noise=16, blur=0.2, lr_g=5e-4, lr_d=5e-4)
data, rows = minigen.tensor(kept), []
for step in range(1, steps(3000) + 1):
    gan.step(data[minigen.randint(len(data), (128,))])
    if step in (10, 100, 300, 1000, 3000):
        rows.append(gan.draw(14))
figure = Figure((7, 3.2), layout="constrained")
axes = figure.subplots()
grid = np.concatenate([*rows, kept[:14]]).reshape(-1, 8, 8)  # (N, 64) -> (N, 8, 8)
axes.imshow(tile(grid, 14, gap=1), cmap="gray", vmin=0, vmax=1)
axes.set_axis_off()
show(figure, "digits", "Generated after 10, 100, 300, 1,000 and 3,000 steps; the last row is real.")

# %% [markdown] id="measure"
# ## One honest measurement
#
# A GAN has no likelihood to report. But one can count, as on the ring: the nearest of the 1,400
# real pictures says which digit a generated one is. All 10 are there, and their shares differ from
# equal ones by 0.08 in total variation, where those of 397 held-out digits differ by 0.065. The
# distance to that nearest picture is 1.43 on average; of held-out digits it is 1.04. So nothing is
# missing, and each is less like a real digit than a real digit is. A distance of nearly 0 would
# have been no triumph either: it would mean that $G$ had learned the pictures by heart.

# %% [markdown] lang="zh" of="measure" en="b3691991"
# ## 一次诚实的测量
#
# GAN 没有似然可报。但可以像在圆环上那样去数：在 1,400 张真实图像里找最近的一张，它说明生成的是哪
# 个数字。10 个数字都有，各自的份额与均分相差 0.08（全变差），397 个未参加训练的数字相差 0.065。到
# 最近一张图的距离平均是 1.43，未参加训练的数字是 1.04。也就是说，什么都没有漏掉，而每一张又不如真
# 正的数字那样像数字。距离若几乎为 0，也算不上成功：那意味着 $G$ 把图像背了下来。


# %%
def nearest(x):
    """The digit of the nearest picture that was trained on, and how far it is: 2 x (N,)"""
    squares = (x**2).sum(1)[:, None] - 2 * x @ kept.T + (kept**2).sum(1)  # (N, 1400)
    return labels[squares.argmin(1)], np.sqrt(np.maximum(squares.min(1), 0))


for name, x in (("generated", gan.draw(len(held_out))), ("held out", held_out)):
    classes, distances = nearest(x)
    coverage = class_coverage(classes, 10, at_least=0.01)
    print(f"{name}: {coverage.seen} digits, shares off by {coverage.distance:.3f},", end=" ")
    print(f"nearest picture {distances.mean():.2f} away")
    if name == "generated":
        claim("10", coverage.seen, trained=True, within=1)
        claim("0.08", coverage.distance, trained=True, within=0.08)
        claim("1.43", distances.mean(), trained=True, within=0.2)
claim("0.065", coverage.distance)
claim("1.04", distances.mean())

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

# %% [markdown] lang="zh" of="exercise" en="26afc6c3"
# ## 练习：铰链损失
#
# 交叉熵从不让 $D$ 歇下来：对数几率已经是 8，还可以变成 9。铰链损失（J. H. Lim 与 J. C. Ye，“
# Geometric GAN”，arXiv 1705.02894）过了间隔就停。$D$ 的输出是一个普通的数 $f$，
#
# $$L_D = \mathrm{E}_x[\max(0, 1 - f(x))] + \mathrm{E}_z[\max(0, 1 + f(G(z)))], \qquad
# L_G = -\mathrm{E}_z[f(G(z))].$$
#
# 请对输出张量写出这两个损失。运行检查之前，先像推导 $D^*$ 那样在纸上求出给定 $p$、$q$ 时最好的
# $f$：$p \max(0, 1 - f) + q \max(0, 1 + f)$ 在哪里最小？


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

# %% [markdown] lang="zh" of="best" en="c1b018c9"
# $f$ 在 -1 与 1 之间时，这个和是 $p + q + f(q - p)$，是 $f$ 的一条直线；出了这个范围只会变大。所
# 以在 $p > q$ 处最好的 $f$ 是 1，在 $q > p$ 处是 -1，此时损失为 $2 \int \min(p, q)\, dx$，对那条
# 直线上的两个密度是 0.776。$D^*$ 说出差多少，铰链损失的最优解只说出哪边多。

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
claim("0.776", reached, trained=True, within=0.02)

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.models.gan` has the generator and the discriminator, `minigen.models.gan_losses` the
# pairs of losses (`minimax`, `non_saturating`, `hinge`, `least_squares`, `wasserstein`), `packed`,
# and the penalties that bound a discriminator's slope, and `minigen.metrics` has `mode_coverage`
# and `class_coverage`. `minigen train ring` is the experiment with pairs and a moving average of
# $G$'s weights, `minigen train gan` the one with digits of 28 by 28 pixels; `dcgan` and `wgan_gp`
# are the next two steps.

# %% [markdown] lang="zh" of="use" en="e361cd5d"
# ## 现在可以用的
#
# `minigen.models.gan` 里有生成器和判别器；`minigen.models.gan_losses` 里有成对的损失（`minimax`、
# `non_saturating`、`hinge`、`least_squares`、`wasserstein`）、`packed`，以及限制判别器斜率的惩罚
# 项；`minigen.metrics` 里有 `mode_coverage` 和 `class_coverage`。`minigen train ring` 就是成对评
# 判的那个实验，另加 $G$ 权重的滑动平均；`minigen train gan` 生成 28×28 像素的数字；再往前两步是
# `dcgan` 和 `wgan_gp`。

# %%
a, b = minigen.randn(6, 1), minigen.randn(6, 1)
pairs = gan_losses.LOSSES
assert minigen.allclose(pairs["hinge"].discriminator(a, b), hinge(a, b)[0])
assert minigen.allclose(pairs["hinge"].generator(b), hinge(a, b)[1])
assert minigen.allclose(pairs["non_saturating"].discriminator(a, b), cross_entropy(a, b))
assert minigen.allclose(pairs["minimax"].generator(b), -F.softplus(b).mean())
print("minigen.models.gan_losses computes what this page computes")
