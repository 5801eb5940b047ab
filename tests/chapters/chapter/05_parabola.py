# %% [markdown] id="title" goal="A slope, computed and checked" minutes=0.1 after=[]
# # 05 · A parabola
#
# How steep is a parabola? This is the smallest chapter that has everything a chapter has, for the
# tests of what is made of chapters. It is not about much: at `x = 1.5` the slope is **3.00**.

# %% [markdown] lang="zh" of="title" en="c150f3e4" goal="求斜率，并检验它"
# # 05 · 抛物线
#
# 抛物线有多陡？这是五脏俱全的最小一章，供测试之用：一章该有的，
# 它都有。内容不多：在 `x = 1.5` 处，斜率是 **3.00**。

# %%
import numpy as np

from minigen.chapters.lesson import claim, fast, show
from minigen.testing import assert_gradients

# %% [markdown] id="slope" grad="square"
# ## The slope of a square
#
# Let $y_i = x_i^2$, and call the slope of the loss with respect to $y$ by the name $\bar y$. Then
#
# $$\bar x_i = \sum_j \bar y_j \frac{\partial y_j}{\partial x_i}
#   = 2 x_i \, \bar y_i.$$
#
# | array | shape | meaning |
# |---|---|---|
# | `x` | $(n,)$ | where |
# | `g` | $(n,)$ | $\bar y$ |

# %% [markdown] lang="zh" of="slope" en="81d0d96e"
# ## 平方的斜率
#
# 设 $y_i = x_i^2$，把损失对 $y$ 的斜率记作 $\bar y$，则
#
# $$\bar x_i = \sum_j \bar y_j \frac{\partial y_j}{\partial x_i}
#   = 2 x_i \, \bar y_i.$$
#
# | 数组 | 形状 | 含义 |
# |---|---|---|
# | `x` | $(n,)$ | 位置 |
# | `g` | $(n,)$ | $\bar y$ |


# %% check="square"
def square(x):
    return x**2


def square_backward(g, x):
    return (2 * x * g,)


assert_gradients((square, square_backward), np.array([1.5, -0.5, 2.0]))
(slope,) = square_backward(np.ones(1), np.array([1.5]))
print("slope at 1.5:", slope)
claim("3.00", slope[0])

# %% [markdown] id="picture"
# ## A picture
#
# A straight line drawn with that slope touches the parabola. How little they differ close by is
# the square of the distance.

# %% [markdown] lang="zh" of="picture" en="3af11fdc" captions={"tangent": "抛物线，以及在 1.5 处与它相切的直线。"}
# ## 一张图
#
# 以此斜率画出的直线恰好与抛物线相切。在切点附近，两者之差就是距离的平方。

# %%
from matplotlib.figure import Figure

x = np.linspace(0, 3, 20 if fast() else 200)
figure = Figure(figsize=(5, 3))
axes = figure.add_subplot(xlabel="x", ylabel="y")
axes.plot(x, x**2, color="#2f6fde", label="$x^2$")
axes.plot(x, 3 * x - 1.5**2, color="#d9622b", label="slope 3")
axes.legend()
show(figure, "tangent", "A parabola and the line that touches it at 1.5.")

# %% [markdown] id="cube_asked" exercise="cube"
# ## Now you
#
# Write `cube_backward(g, x)`, the same for $y_i = x_i^3$, without any power.

# %% [markdown] lang="zh" of="cube_asked" en="b298535b"
# ## 轮到你了
#
# 写出 `cube_backward(g, x)`：对 $y_i = x_i^3$ 做同样的事，不要用乘方。


# %% solution="cube"
def cube_backward(g, x):
    """y = x * x * x -> (slope of x,)"""
    # BEGIN SOLUTION
    once = x
    twice = once * x
    three = 3.0
    slope = three * twice
    return (g * slope,)
    # END SOLUTION


# %%
assert_gradients((lambda x: x * x * x, cube_backward), np.array([1.5, -0.5, 2.0]))
print("right")

# %% [markdown] id="end"
# ## What you may now use
#
# `minigen.testing.assert_gradients`, with gradients of your own.

# %% [markdown] lang="zh" of="end" en="65918f30"
# ## 现在可以用的
#
# `minigen.testing.assert_gradients`，用来检验你自己写的梯度。
