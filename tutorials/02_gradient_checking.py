# %% [markdown] id="title" goal="Tell a right gradient from a wrong one, and say what is wrong" minutes=0.3 after=["01"]
# # 02 · Gradient checking
#
# A rule that returns a wrong slope does not crash. The network trains all the same, a little
# slower, a little worse, and nobody can say why. So every rule is compared with the one thing
# that cannot be wrong in the same way: the operation itself, moved a little.
#
# That sounds like one line of code. It is four decisions: how far to move, which outputs to look
# at, how many directions to try, and when to call two numbers equal. Each has a careless answer
# under which wrong rules pass or right ones are accused. This chapter measures what goes wrong.

# %% [markdown] lang="zh" of="title" en="0b6c8d7b" goal="分清梯度的对与错，并说出错在哪里"
# # 02 · 检查梯度
#
# 规则返回了错误的斜率，程序并不会崩溃。网络照样训练，慢一点，差一点，谁也说不出原因。所以每条规
# 则都要拿一样东西来对照，这样东西不会犯同样的错：运算本身，稍微动一动。
#
# 听起来只是一行代码，其实要做四个决定：动多远，看哪些输出，试几个方向，什么时候算两个数相等。每
# 一个都有马虎的答法，让错的规则混过去，或者冤枉了对的规则。本章把这些后果一一量出来。

# %% [markdown] id="step"
# ## How far to move
#
# Taylor's formula says what a difference quotient leaves over:
#
# $$\frac{f(x+h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + \dots,$$
#
# $$\frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots$$
#
# What follows $f'(x)$ is the error of the curve. In the second, the *central* difference, it is
# smaller by a power of $h$. So make $h$ tiny? A float64 number keeps 16 digits, a relative error
# of $\varepsilon = 2 \cdot 10^{-16}$. The nearer the two values of $f$, the fewer of their digits
# differ, and what is left is divided by $h$: rounding adds an error of about $\varepsilon
# \left|f\right| / h$, which *grows* as $h$ shrinks. The sum of both errors has its lowest point
# in between.
#
# | difference | numbers | error of the curve | of rounding | best $h$ | error there |
# |---|---|---|---|---|---|
# | forward | float64 | $h$ | $\varepsilon / h$ | 1e-8 | 3e-9 |
# | central | float64 | $h^2$ | $\varepsilon / h$ | 6e-6 | 3e-12 |
# | central | float32, $\varepsilon = 10^{-7}$ | $h^2$ | $\varepsilon / h$ | 3e-3 | 4e-6 |
#
# These are measured, for the sine: the picture shows the V that two errors make. In float32 even
# the best step leaves five digits; check gradients in float64, also those of code that will run
# in float32.
#
# These are steps for inputs about 1, as ours are; for others let $h$ be in proportion to $x$. At
# $x = 10^{10}$ two neighbouring float64 numbers are 1.9e-6 apart. A step of 1e-6 cannot be taken
# there, and the slope of $f(x) = x$ comes out as 1.91.

# %% [markdown] lang="zh" of="step" en="69bd76d6" captions={"steps": "差商的误差与步长的关系，以及误差的最低点。"}
# ## 动多远
#
# 泰勒公式告诉我们差商多出了什么：
#
# $$\frac{f(x+h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + \dots,$$
#
# $$\frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots$$
#
# $f'(x)$ 之后的各项是曲线带来的误差。后一种叫*中心*差商，这种误差高一阶。那么 $h$ 越小越好吗？float64 保留 16 位数字，相对误差
# $\varepsilon = 2 \cdot 10^{-16}$。$f$ 的两个值越接近，不同的数位就越少，剩下的那点差别还要除以
# $h$：舍入带来约 $\varepsilon \left|f\right| / h$ 的误差，$h$ 越小它反而*越大*。两种误差之和在中间某处最小。
#
# | 差商 | 数的类型 | 曲线的误差 | 舍入的误差 | 最好的 $h$ | 此处的误差 |
# |---|---|---|---|---|---|
# | 向前 | float64 | $h$ | $\varepsilon / h$ | 1e-8 | 3e-9 |
# | 中心 | float64 | $h^2$ | $\varepsilon / h$ | 6e-6 | 3e-12 |
# | 中心 | float32，$\varepsilon = 10^{-7}$ | $h^2$ | $\varepsilon / h$ | 3e-3 | 4e-6 |
#
# 这些是用正弦函数量出来的，图中的 V 字就是两种误差拼成的。用 float32，步长再好也只剩五位数字；
# 所以检查梯度一律用 float64，哪怕代码将来用 float32 运行。
#
# 这些步长适用于 1 左右的输入，本章的输入都是如此；否则步长要与 $x$ 成比例。在 $x = 10^{10}$ 处，相邻两个 float64 数相隔 1.9e-6，1e-6 的一步根本迈
# 不出去：$f(x) = x$ 的斜率算出来竟是 1.91。

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigen
from minigen.chapters.lesson import claim, show
from minigen.testing import assert_gradients, check_gradients


def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


steps = 10.0 ** np.arange(-15, 0.01, 0.25)
points = np.linspace(0.5, 1.0, 200)
figure, axes = plt.subplots(figsize=(7, 4))
for difference, dtype, color, at, error in (
    (forward_difference, np.float64, "#0072b2", "1e-8", "3e-9"),
    (central_difference, np.float64, "#d55e00", "6e-6", "3e-12"),
    (central_difference, np.float32, "#666666", "3e-3", "4e-6"),
):
    x = points.astype(dtype)
    errors = [np.median(abs(difference(np.sin, x, dtype(h)) - np.cos(points))) for h in steps]
    best = int(np.argmin(errors))
    name = f"{difference.__name__.split('_')[0]}, {dtype.__name__}"
    axes.loglog(steps, errors, color=color, label=name)
    axes.plot(steps[best], errors[best], "o", color=color)
    claim(error, errors[best], within=0.5 * float(error))
    claim(at, steps[best], within=0.8 * float(at))
axes.set(xlabel="step h", ylabel="error of the slope of sin", ylim=(1e-13, 10))
axes.legend()
show(figure, "steps", "The error of a difference quotient against its step, and its lowest point.")

claim("1.9e-6", np.spacing(1e10))
claim("1.91", central_difference(lambda x: x, 1e10, 1e-6))

# %% [markdown] id="cotangent"
# ## Which outputs to look at
#
# A rule takes `g`, the slope of the loss with respect to the outputs, and a check has to choose
# one. The usual choice is ones, because then the loss is simply the sum of all outputs;
# `out.sum().backward()` does just that.
#
# Now take softmax, whose outputs add up to 1 whatever goes in. Their sum never changes, so all
# slopes are 0, and so is any multiple of them. Two wrong rules: one returns 3 times the right
# slopes, one returns zeros. Which of them will a check with ones notice?

# %% [markdown] lang="zh" of="cotangent" en="a33d7c0b"
# ## 看哪些输出
#
# 规则要用到 `g`，即损失对各个输出的斜率，检查时得选定一个。通常全取 1，因为这时损失就是全部输出
# 之和；`out.sum().backward()` 正是这么做的。
#
# 再看 softmax：无论输入什么，它的输出之和恒为 1。和不变，斜率就都是 0，乘以几也还是 0。现在有两
# 条错误的规则：一条返回正确斜率的 3 倍，一条全部返回零。用全 1 的 `g` 来检查，能发现哪一条？


# %%
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_rule(g, x):  # minigen's; finding it yourself is part of assignment A1
    x = minigen.tensor(x, requires_grad=True)
    minigen.nn.functional.softmax(x, dim=-1).backward(minigen.tensor(g))
    return x.grad.numpy()


def numeric_slopes(f, g, x, h=1e-6):
    """Of the loss (g * f(x)).sum(), one entry of the row x after the other."""

    def along(e):
        return central_difference(lambda t: (g * f(x + t * e)).sum(), 0.0, h)

    return np.array([along(e) for e in np.eye(x.size)])


rng = np.random.default_rng(0)
x = rng.standard_normal(6)
for name, g in (("ones", np.ones(6)), ("random", rng.standard_normal(6))):
    slopes, numeric = softmax_rule(g, x), numeric_slopes(softmax, g, x)
    print(f"g = {name}: the largest slope is {abs(slopes).max():.1e};")
    print(f"  quotients: off by {abs(slopes - numeric).max():.1e}", end="; ")
    print(f"3 times too large: off by {abs(3 * slopes - numeric).max():.1e}")
    if name == "ones":
        assert abs(3 * slopes).max() < 1e-15
        assert abs(numeric).max() < 1e-9
claim("0.23", abs(slopes).max())

# %% [markdown] id="neither"
# Neither. With ones the three rules agree to within 1e-15, and the quotients say 0 but for
# rounding. With a random `g` slopes are as large as 0.23, and both mistakes stand out. The same
# happens wherever outputs are tied together: normalisations hide half of their rule from ones.

# %% [markdown] lang="zh" of="neither" en="019f7a66"
# 一条也发现不了。用全 1 时，三条规则彼此相差不到 1e-15，差商也说是 0，只剩舍入误差。换成随机的
# `g`，斜率可以大到 0.23，两个错误都一目了然。凡是输出之间互相牵制的运算都有这个问题：归一化的规
# 则，有一半是全 1 的 `g` 看不见的。

# %% [markdown] id="squash" grad="squash"
# ## An operation of our own
#
# For the rest of the chapter we need an operation with something to get wrong. *Squash* makes
# long rows short: $o_j = s x_j$ with $s = 1 / (1 + \sum_k x_k^2)$, for each row of the last axis.
# As in chapter 01, every input moves every output, directly and through $s$. With $\partial s /
# \partial x_i = -2 s^2 x_i$,
#
# $$\frac{\partial o_j}{\partial x_i} = s \, \delta_{ij} - 2 s^2 x_i x_j, \qquad \bar x_i = s \, g_i - 2 s^2 x_i \sum_j g_j x_j.$$
#
# | array | shape |
# |---|---|
# | `x`, `out`, `g`, the slope | (…, n) |
# | $s$, and the sum over $j$ | (…, 1) |

# %% [markdown] lang="zh" of="squash" en="8a3259fb"
# ## 自己的运算
#
# 接下来需要一个容易写错的运算。*squash* 把长的行压短：$o_j = s x_j$，其中
# $s = 1 / (1 + \sum_k x_k^2)$，沿最后一个轴逐行计算。与第 01 章一样，每个输入都牵动每个输出，既
# 直接，也通过 $s$。由 $\partial s / \partial x_i = -2 s^2 x_i$ 得
#
# $$\frac{\partial o_j}{\partial x_i} = s \, \delta_{ij} - 2 s^2 x_i x_j, \qquad \bar x_i = s \, g_i - 2 s^2 x_i \sum_j g_j x_j.$$
#
# | 数组 | 形状 |
# |---|---|
# | `x`、`out`、`g`、斜率 | (…, n) |
# | $s$，以及对 $j$ 的和 | (…, 1) |


# %% check="squash"
def shortening(x):
    return 1 / (1 + (x**2).sum(-1, keepdims=True))


def squash(x):
    return shortening(x) * x


def squash_backward(g, x):
    s = shortening(x)
    return (s * g - 2 * s**2 * x * (g * x).sum(-1, keepdims=True),)


x = rng.standard_normal((3, 4))
assert_gradients((squash, squash_backward), x)

# %% [markdown] id="directions"
# ## How many directions to try
#
# To compare every slope, move every input: two evaluations for each, 2,000 for an array of 1,000
# numbers. Or move all inputs at once, along a random direction $v$. The loss then changes at the
# rate $\sum_i \bar x_i v_i$, and one central difference checks that single number, a *projection*
# of the gradient.
#
# A wrong slope escapes if its error happens to be orthogonal to $v$. How often? Let one slope in
# 1,000 be off by a hundredth, and call two numbers equal if they differ by less than a millionth
# of the gradient's length. Out of 10,000 directions, 0.4 % miss it. Try two, and it is the square
# of that chance.
#
# A projection says *that* something is wrong, not *where*. So do as `minigen.testing` does:
# projections first, entry by entry only after one of them has failed.

# %% [markdown] lang="zh" of="directions" en="db7d4b0d"
# ## 试几个方向
#
# 要比较每一个斜率，就得逐个移动输入：每个输入两次求值，1,000 个数的数组要 2,000 次。也可以沿一个
# 随机方向 $v$ 把所有输入一起移动。这时损失的变化率是 $\sum_i \bar x_i v_i$，一次中心差商就能检查
# 这一个数，也就是梯度的一个*投影*。
#
# 如果错误恰好与 $v$ 正交，就会漏过去。这种事有多常见？设 1,000 个斜率里有一个差了百分之一，并约
# 定两个数之差小于梯度长度的百万分之一就算相等。在 10,000 个方向中，有 0.4 % 会漏掉它。试两个方
# 向，漏掉的机会就是它的平方。
#
# 投影只说*有没有*错，不说错在*哪里*。所以可以照 `minigen.testing` 的做法：先用投影，投影不对了，
# 再逐个比较。

# %%
row = rng.standard_normal(1000)
g = rng.standard_normal(1000)
(slopes,) = squash_backward(g, row)


def projection(rule, v):
    """How far the slope along v is from what the rule says, measured by the gradient's length."""
    numeric = central_difference(lambda t: (g * squash(row + t * v)).sum(), 0.0, 1e-4)
    return abs(numeric - (rule * v).sum()) / np.linalg.norm(rule)


typical = int(np.argsort(abs(slopes))[500])  # a slope of middling size
wrong = slopes.copy()
wrong[typical] *= 1.01
v = rng.standard_normal(1000)
print(f"right: {projection(slopes, v):.1e}; one slope 1 % off: {projection(wrong, v):.1e}")

# The same for many directions; that the rule is right is known, so no difference is needed.
directions = rng.standard_normal((10_000, 1000))
missed = abs(directions @ (wrong - slopes)) < 1e-6 * np.linalg.norm(slopes)
print(f"missed along {missed.mean():.1%} of the directions")
claim("0.4 %", missed.mean())

# %% [markdown] id="equal"
# ## When two numbers are equal
#
# First look at the form: one slope for each input, in the shape of that input. NumPy will not do
# it for you. Compare a slope of shape (3, 4) with one of shape (4,), and it stretches the smaller
# and says, perhaps, that all is well.
#
# Then at the numbers. No tolerance is small for all gradients: where slopes are about $10^6$,
# rounding alone exceeds 1e-6; where they are about $10^{-6}$, even zeros are within 1e-4 of the
# truth. Measure the difference against the largest slope of the array. Measured against each
# slope itself, it would be hopeless where a slope is 0, since a quotient hardly ever is exactly
# 0.

# %% [markdown] lang="zh" of="equal" en="7ee66668"
# ## 什么时候算相等
#
# 先看形式：每个输入对应一个斜率，形状与该输入相同。这一点 NumPy 不会替你把关。拿形状 (3, 4) 的
# 斜率与形状 (4,) 的相比，它会把小的拉伸，然后说不定告诉你全都相等。
#
# 再看数值。没有哪个容差对所有梯度都算小：斜率在 $10^6$ 左右时，光是舍入就超过 1e-6；斜率在
# $10^{-6}$ 左右时，就连零与正确值也相差不到 1e-4。差别要拿数组里最大的斜率来衡量。若拿每个斜率
# 自己来衡量，遇到斜率为 0 的地方就没有办法：差商几乎不会恰好是 0。

# %%
by_row = np.array([[1.0, 2.0], [1.0, 2.0]])  # slopes of shape (2, 2), for an input of shape (2,)
print("equal, says NumPy:", np.allclose(by_row, [1.0, 2.0]))
print("zeros within 1e-4:", np.allclose(0.0, 1e-6 * row, atol=1e-4))
print("against the largest:", abs(0.0 - 1e-6 * row).max() <= 1e-6 * abs(1e-6 * row).max())

# %% [markdown] id="kinks"
# ## Where there is no slope
#
# At 0 the function $|x|$ has a kink: its slope is $-1$ on the left and 1 on the right. A step
# that reaches across mixes the two. At $x = 0.000002$ with $h = 0.00001$ the central difference
# is 0.2, although the slope there is 1. A right rule would be accused.
#
# What helps is to look at both sides. In a smooth curve the slopes to the left and to the right
# differ by about $h f''$, a tenth of it for a tenth of the step. At a kink they differ by the
# same amount, however small the step; right beside one, by nearly the same, as long as the steps
# reach it. `minigen.testing` leaves such entries out and says so. In
# tests of your own, choose inputs that keep away from kinks.

# %% [markdown] lang="zh" of="kinks" en="ce6af14d"
# ## 没有斜率的地方
#
# 函数 $|x|$ 在 0 处有一个尖点：左边斜率是 $-1$，右边是 1。步子一旦跨过尖点，两边就混在一起。在
# $x = 0.000002$ 处取 $h = 0.00001$，中心差商是 0.2，而那里的斜率明明是 1，对的规则就会被冤枉。
#
# 办法是两边都看。光滑曲线上，左右两个斜率相差约 $h f''$，步长缩到十分之一，差别也缩到十分之一；
# 在尖点处，步长再小，差别也不变；紧挨着尖点，只要步子还够得着它，差别就几乎不变。`minigen.testing` 会略去这样的数，并说明略去了哪些。自己写测试
# 时，让输入避开尖点。

# %%
claim("0.2", central_difference(np.abs, 2e-6, 1e-5))
print(check_gradients((np.abs, lambda g, x: (np.where(x < 0, -g, g),)), np.array([1.5, 0, -3])))

# %% [markdown] id="exercise" exercise="kink"
# ## Exercise: tell a kink from a curve
#
# Write `has_kink(f, x, h)` for a function of one number. Compare the slope to the left with the
# slope to the right, for the step $h$ and for a tenth of it. Do not ask whether the two
# differences are equal, but whether the second is far more than a tenth of the first. Take care
# with straight lines, where both are 0 but for rounding, at any steepness: what
# $\varepsilon \left|f\right| / h$ can explain is no kink, and $x$ is rounded as well, by
# $\varepsilon \left|x\right|$.

# %% [markdown] lang="zh" of="exercise" en="0273ef4e"
# ## 练习：分清尖点与弯曲
#
# 请为一元函数写出 `has_kink(f, x, h)`。分别用步长 $h$ 和它的十分之一，比较左边的斜率与右边的斜
# 率。不要问两个差是否相等，要问第二个是否远大于第一个的十分之一。当心直线：不论多陡，两个差都是
# 0，只剩舍入误差。$\varepsilon \left|f\right| / h$ 就能解释的差别，算不得尖点；而且 $x$ 自己也
# 被舍入了，误差约为 $\varepsilon \left|x\right|$。


# %% solution="kink"
def has_kink(f, x, h=1e-4):
    """Whether f has a kink at x, or so near that steps of h/10 reach it."""

    # BEGIN SOLUTION
    def gap(h):
        right = (f(x + h) - f(x)) / h
        left = (f(x) - f(x - h)) / h
        return abs(right - left)

    size = max(abs(f(x - h)), abs(f(x)), abs(f(x + h)))
    steepness = abs(f(x + h) - f(x - h)) / (2 * h)
    rounding = 2e-16 * (size + steepness * abs(x)) / (h / 10)
    # Ten times smaller in a curve, the same at a kink.
    return bool(gap(h / 10) > 0.5 * gap(h) and gap(h / 10) > 10 * rounding)
    # END SOLUTION


# %%
for f, at, kink, what in (
    (np.abs, 0.0, True, "|x| at 0"),
    (np.abs, 2e-6, True, "|x| at 0.000002: the steps reach across the kink"),
    (lambda x: max(x, 3.0), 3.0, True, "max(x, 3) at 3"),
    (lambda x: 1e-9 * abs(x), 0.0, True, "a small kink: |x| / 1,000,000,000 at 0"),
    (np.abs, 0.1, False, "|x| at 0.1, far from the kink"),
    (np.square, 1.0, False, "x², a curve, at 1"),
    (lambda x: 3 * x + 1, 0.7, False, "3 x + 1, a straight line"),
):
    assert has_kink(f, at) == kink, f"{what}: has_kink says {not kink}"


def line(slope, at, value):
    """The straight line of this slope that has this value there."""
    return lambda x: slope * (x - at) + value


places = np.random.default_rng(0).standard_normal(300)
for c in (3.0, 1e3, 1e5, 1e7):
    false = sum(has_kink(line(c, 0.0, 1.0), x) + has_kink(line(c, x, 0.0), x) for x in places)
    assert false == 0, f"{false} kinks in straight lines of slope {c:g}, at 600 places"

# %% [markdown] id="bugs"
# ## Five planted bugs
#
# A check is a measuring instrument, and instruments are tried on known faults. Here are five
# wrong rules for squash; all return the right shape. Say first which of them a check with ones
# will miss, and which one a check on a single row.

# %% [markdown] lang="zh" of="bugs" en="99f66fc0"
# ## 五个埋下的错误
#
# 检查是一种量具，而量具要用已知的毛病来检验。下面是 squash 的五条错误规则，返回的形状都对。先说
# 说看：用全 1 的 `g` 会漏掉哪一条？只用一行数据又会漏掉哪一条？


# %%
def rule(path):
    """A rule for squash with another second term; path(g, x, s)."""
    return lambda g, x: (shortening(x) * g + path(g, x, shortening(x)),)


bugs = {
    "second term left out": rule(lambda g, x, s: 0),
    "second term added": rule(lambda g, x, s: 2 * s**2 * x * (g * x).sum(-1, keepdims=True)),
    "no factor 2": rule(lambda g, x, s: -(s**2) * x * (g * x).sum(-1, keepdims=True)),
    "sum over all rows": rule(lambda g, x, s: -2 * s**2 * x * (g * x).sum()),
    "g forgotten in the sum": rule(lambda g, x, s: -2 * s**2 * x * x.sum(-1, keepdims=True)),
}


def caught(rule, g, x):
    """Whether a comparison of every slope finds this rule wrong."""
    flat = numeric_slopes(lambda t: squash(t.reshape(x.shape)), g, x.ravel())
    return not np.allclose(rule(g, x)[0].ravel(), flat, rtol=1e-6, atol=1e-8)


tries = {
    "ones": (np.ones((3, 4)), x),
    "one row": (rng.standard_normal((1, 4)), x[:1]),
    "random, three rows": (rng.standard_normal((3, 4)), x),
}
missed = {
    name: [bug for bug, wrong in bugs.items() if not caught(wrong, g, at)]
    for name, (g, at) in tries.items()
}
for name, names in missed.items():
    print(f"{name}: {5 - len(names)} of 5 found", *names, sep="; missed: " if names else "")
assert missed["ones"] == ["g forgotten in the sum"]
assert missed["one row"] == ["sum over all rows"]
assert missed["random, three rows"] == []

# %% [markdown] id="missed"
# Ones miss the last: forgetting `g` under the sum changes nothing if it is 1 anyway. A single row
# misses the fourth, since there the sum over all rows is the sum over this one. Random `g` and
# three rows find all five. Test shapes, too, are part of a check: take more than one row, and no
# two sizes equal. In a square, a transposition too many goes unnoticed.

# %% [markdown] lang="zh" of="missed" en="50f2b577"
# 全 1 漏掉最后一条：既然 `g` 本来就是 1，求和时忘了乘它也没有差别。只用一行漏掉第四条，因为这时
# 对所有行求和就是对这一行求和。随机的 `g` 加上三行数据，五条全部抓住。测试用的形状也是检查的一
# 部分：行数要多于一，各个轴的长度互不相同；若是方阵，多转置了一次也看不出来。

# %% [markdown] id="names"
# ## What is wrong with it
#
# "Entry [2, 0] differs" helps little. `check_gradients` asks the wrong slopes what they look
# like: the right ones with another sign, transposed, times a constant, those of another argument,
# without what came from a repeated index? For a sum of terms it can say which term is wrong, if
# somebody has told it the terms. For softmax, normalisations, attention, convolutions and losses
# minigen has. For an operation of your own, you do, with `terms=`, or once for all with
# `register_terms`. What is reported is the term's name, never its formula, so that an assignment
# can use it.

# %% [markdown] lang="zh" of="names" en="8d744fc5"
# ## 错在哪里
#
# “[2, 0] 处不相等”没有多大用处。`check_gradients` 会追问错误的斜率像什么：是正确的斜率变了号？
# 转置了？乘了一个常数？是另一个参数的？还是下标重复处少加了？如果斜率是几项之和，它还能说出错的
# 是哪一项，只要有人告诉过它有哪些项。softmax、各种归一化、注意力、卷积和损失函数，minigen 已经
# 告诉它了。你自己的运算则由你来说明：用 `terms=`，或者用 `register_terms` 一次登记。报告里只有
# 项的名字，没有公式，所以作业里也可以用。


# %%
def squash_terms(g, x):
    s = shortening(x)
    through = -2 * s**2 * x * (g * x).sum(-1, keepdims=True)
    return [{"x itself": s * g, "the way through the length": through}]


for name, wrong in bugs.items():
    report = check_gradients((squash, wrong), x, terms=squash_terms)
    print(f"{name}: {report.findings[0].text}")
    assert report.named  # it says more than which entries differ

# %% [markdown] id="tests"
# ## A test that stays
#
# A check that is run once protects against the mistakes of one day. Put it into a test. With
# pytest that is a file `test_squash.py` with functions like these, found by their names; `python
# -m pytest` runs them. The second one is as important as the first: it shows that the check can
# fail.

# %% [markdown] lang="zh" of="tests" en="edfaf662"
# ## 留得住的测试
#
# 只跑一次的检查，只防得住一天的错误。把它写成测试。用 pytest，就是在文件 `test_squash.py` 里写
# 下这样的函数，pytest 按名字找到它们，用 `python -m pytest` 运行。第二个与第一个同样重要：它证
# 明这个检查是会失败的。


# %%
def test_slopes_of_squash():
    rng = np.random.default_rng(0)
    for shape in ((1,), (5,), (3, 4), (2, 1, 3)):
        assert_gradients((squash, squash_backward), rng.standard_normal(shape))


def test_a_wrong_slope_is_noticed():
    x = np.random.default_rng(0).standard_normal((3, 4))
    for wrong in bugs.values():
        assert not check_gradients((squash, wrong), x)  # a report is true if all is right


test_slopes_of_squash()
test_a_wrong_slope_is_noticed()

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.testing`: `assert_gradients` for tests, of functions of minigen's tensors too, where it
# checks second derivatives as well; `check_gradients` for a report; `strategies` to have
# hypothesis draw shapes and memory layouts; `minigen gradcheck` from a terminal. How they work is
# written in `minigen/testing/check.py` and `numeric.py`.
#
# What they cost, for the row of 1,000 numbers: 14 evaluations of squash. Four look at the
# function itself: what it returns, and whether that is always the same. Then come two random `g`
# with a direction each, and for each two central differences, of different steps, which tell each
# other's error, and a fifth evaluation that moves the inputs by an imaginary number, where
# nothing is subtracted and nothing rounded away. Every slope by itself would have taken 2,000.
#
# You can now solve assignment A2 (`minigen classroom build tutorials/assignments/a2_gradient_check`
# writes it): you write a check of your own, and it is judged by the bugs it finds, less those it
# only imagines.

# %% [markdown] lang="zh" of="use" en="1ab0a297"
# ## 现在可以用的
#
# `minigen.testing`：`assert_gradients` 用在测试里，也能检查 minigen 张量的函数，那时连二阶导数
# 一并检查；`check_gradients` 给出报告；`strategies` 让 hypothesis 去抽各种形状和内存布局；在终
# 端里可用 `minigen gradcheck`。它们的做法写在 `minigen/testing/check.py` 和 `numeric.py` 里。
#
# 代价如何？对那一行 1,000 个数，squash 共求值 14 次。四次用来看函数本身：返回的是什么，每次是否相
# 同。然后是两个随机的 `g`，各配一个方向；每个用步长不同的两次中心差商，两者相比就知道误差有多
# 大，第五次求值则把输入移动一个虚数，那里不做减法，也就没有什么会被舍入掉。若逐个斜率去求，要
# 2,000 次。
#
# 现在可以做作业 A2 了（题目由 `minigen classroom build tutorials/assignments/a2_gradient_check` 生
# 成）：自己写一个检查，按它抓住的错误计分，凭空指认的要倒扣。

# %%
evaluations = 0


def counted(x):
    global evaluations
    evaluations += 1
    return squash(x)


assert_gradients((counted, squash_backward), row)
print(f"{evaluations} evaluations for all, {2 * row.size:,} one by one")
claim("14", evaluations)
claim("2,000", 2 * row.size)
