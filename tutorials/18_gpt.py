# %% [markdown] id="intro" goal="Write a GPT, train it, sample from it, and put a kernel of your own under it" minutes=3 after=["16"]
# # 18 · A GPT: trained, sampled, on a kernel of your own
#
# Any text has a probability, by the chain rule, $p(x) = \prod_t p(x_t \mid x_1, \ldots,
# x_{t-1})$. Whoever can say, for any beginning, how likely each next character is, can judge
# whole texts, and can write them. Counting does it: after "th", how often came "e"? But counting
# needs to have seen the very same beginning, so it looks back four characters or five. A GPT is a
# function of all of the beginning, whose parameters are fitted by gradient. What does that buy on
# one core in three minutes?
#
# The measure is the mean of $-\ln p(x_t \mid x_{<t})$ over a text not used for training, in nats
# per character.

# %% [markdown] lang="zh" of="intro" en="a373ffb8" goal="写一个 GPT，训练它，从中采样，再换上自己的内核"
# # 18 · GPT：训练、采样，再换上你自己的内核
#
# 由链式法则，任何文本都有一个概率：$p(x) = \prod_t p(x_t \mid x_1, \ldots, x_{t-1})$。谁能对任意
# 开头说出下一个字符各有多大可能，谁就能评判整篇文本，也能写出文本。数数就能做到：“th” 之后有多少
# 次是 “e”？但数数要求见过一模一样的开头，所以只能往回看四五个字符。GPT 则是整个开头的函数，参数由
# 梯度拟合。在一个核上花三分钟，能换来什么？
#
# 衡量的标准，是在没有用于训练的文本上 $-\ln p(x_t \mid x_{<t})$ 的平均值，单位是每字符多少纳特。

# %% [markdown] id="data"
# ## The text, and what counting reaches
#
# Eight plays by Shakespeare come with minigen: 1,036,467 characters, 76 different ones. The last
# tenth, most of it *The Tempest*, is kept for measuring. Knowing nothing costs $\ln 76$, 4.33
# nats. A bigram, which looks at one character, reaches 2.58; a 5-gram, which looks at four and
# falls back to fewer where it has seen nothing, reaches 1.96. A 6-gram is worse again, 2.02: for
# so much context the text is too short. So 1.96 is the number to beat.

# %% [markdown] lang="zh" of="data" en="2d15ca31"
# ## 文本，以及数数能达到的水平
#
# minigen 自带莎士比亚的八部剧本：1,036,467 个字符，76 种。最后十分之一留作测量，其中大部分是《暴
# 风雨》。一无所知的代价是 $\ln 76$，即 4.33 纳特。只看前一个字符的二元模型达到 2.58；看前四个字符、
# 没见过就退而看更少的五元模型达到 1.96。六元模型反而更差，是 2.02：要看这么多字符，文本还太短。所
# 以要打败的数字是 1.96。

# %%
import math
import time

import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import kernels, nn
from minigen.chapters.lesson import claim, fast, show
from minigen.data import CharTokenizer, NGram, load_shakespeare
from minigen.models.attention_weights import watch_attention
from minigen.models.sampling import Sampling
from minigen.nn import functional as F
from minigen.testing import assert_gradients

text = load_shakespeare()
tokenizer = CharTokenizer(text)
ids = tokenizer.encode(text)  # int64 (1036467,)
V, cut = len(tokenizer), len(text) * 9 // 10
train, held_out = ids[:cut], ids[cut:]
counted = {
    name: NGram.fit(text[:cut], order, text).nats_per_character(text[cut:])
    for name, order in (("bigram", 1), ("5-gram", 4), ("6-gram", 5))[: 2 if fast() else 3]
}
claim("1,036,467", len(text))
claim("76", V)
claim("4.33", math.log(V))
claim("2.58", counted["bigram"])
claim("1.96", counted["5-gram"])
claim("2.02", counted.get("6-gram", 0), trained=True)  # not counted in a fast run
print({name: round(nats, 3) for name, nats in counted.items()})

# %% [markdown] id="shapes"
# ## The model, shape by shape
#
# $N$ texts of $T$ characters, $C$ channels, $h$ heads of $d = C/h$, $V$ characters in the
# alphabet.
#
# | what | shape | what happens |
# |---|---|---|
# | characters | $(N, T)$ | integers |
# | token + place embedding | $(N, T, C)$ | the *residual stream* begins |
# | attention, in each block | $(N, h, T, d)$ | places exchange; added to the stream |
# | feed-forward, in each block | $(N, T, 4C)$ | each place for itself; added to the stream |
# | logits | $(N, T, V)$ | at each place, of the *next* character |
#
# Place $t$ sees the places up to $t$ (the causal mask of chapter 16), so one pass asks $T$
# questions of every text at once, and none can see its answer. Layer norm comes before each
# branch ("pre-norm"), as in GPT-2; the embedding also reads the result out. Matrices start from
# $N(0, 0.02^2)$, those that write into the stream narrower, since $2L$ of them add up.

# %% [markdown] lang="zh" of="shapes" en="ccf86500"
# ## 逐个形状看模型
#
# $N$ 段文本，每段 $T$ 个字符；$C$ 个通道，$h$ 个头，每头 $d = C/h$；字母表有 $V$ 个字符。
#
# | 内容 | 形状 | 发生了什么 |
# |---|---|---|
# | 字符 | $(N, T)$ | 整数 |
# | 字符嵌入 + 位置嵌入 | $(N, T, C)$ | *残差流*由此开始 |
# | 每个块里的注意力 | $(N, h, T, d)$ | 各处交换信息；加到残差流上 |
# | 每个块里的前馈网络 | $(N, T, 4C)$ | 各处独自计算；加到残差流上 |
# | logits | $(N, T, V)$ | 每一处对*下一个*字符的打分 |
#
# 第 $t$ 处只看得见 $t$ 及以前（第 16 章的因果掩码），所以跑一遍就对每段文本同时提出 $T$ 个问题，
# 而没有哪个问题能看见自己的答案。与 GPT-2 一样，层归一化放在每个分支之前（“pre-norm”），嵌入矩阵
# 同时用于读出结果。矩阵的初值取自 $N(0, 0.02^2)$；写入残差流的那些更窄，因为有 $2L$ 个要加在一起。


# %%
class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V for h heads; a place sees itself and what came before."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, cache=None):
        n, t, c = x.shape
        # (N, T, C) -> (N, T, 3C) -> (N, T, 3, h, d) -> (3, N, h, T, d)
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:  # keys and values of the characters before these
            k = minigen.cat([cache["k"], k], dim=2) if cache else k  # (N, h, S + T, d)
            v = minigen.cat([cache["v"], v], dim=2) if cache else v
            cache.update(k=k, v=v)
        total = k.shape[2]
        if total == t:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # the queries are the last t of them all
            seen = minigen.ones(t, total, dtype=minigen.bool).tril(total - t)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(y.transpose(1, 2).reshape(n, t, c))  # (N, h, T, d) -> (N, T, C)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, cache=None):
        x = x + self.attention(self.norm_1(x), cache)
        return x + self.down(F.gelu(self.up(self.norm_2(x))))  # C -> 4C -> C


class GPT(nn.Module):
    """Characters (N, T) -> logits of the next one at each place, (N, T, V)."""

    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.context = context
        self.token = nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                into_stream = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if into_stream else 0.02)

    def forward(self, ids, caches=None):
        past = caches[0]["k"].shape[2] if caches and caches[0] else 0
        x = self.token(ids) + self.place.weight[past : past + ids.shape[1]]  # (N, T, C)
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks)):
            x = block(x, cache)
        return F.linear(self.norm(x), self.token.weight)  # (N, T, C) (C, V) -> (N, T, V)


T, WIDTH, LAYERS, HEADS = 64, 64, 2, 4
minigen.manual_seed(0)
model = GPT(V, T, WIDTH, LAYERS, HEADS)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
claim("108,544", sum(p.numel() for p in model.parameters()))

# %% [markdown] id="loss" grad="loss"
# ## The loss and its gradient
#
# With logits $z$ and the right character $y$ at one of $M = N T$ places, the loss is $-\ln
# \operatorname{softmax}(z)_y = \ln \sum_j e^{z_j} - z_y$, averaged over the places. Its slope is
#
# $$\frac{\partial L}{\partial z_j} = \frac{1}{M} (\operatorname{softmax}(z)_j - \delta_{jy}),$$
#
# what was believed minus what was true. The logarithm takes away the factor by which a saturated
# softmax would silence it: a character believed impossible pushes with the full $1/M$.
#
# The same cell checks all parameters of a small GPT in float64, with a random cotangent on the
# logits, and that no place sees the future: replace the last character, and the logits before it
# must not change by a single bit.

# %% [markdown] lang="zh" of="loss" en="b77e5b29"
# ## 损失与它的梯度
#
# 共有 $M = N T$ 处，设某一处的 logits 为 $z$，正确的字符为 $y$，该处的损失是
# $-\ln \operatorname{softmax}(z)_y = \ln \sum_j e^{z_j} - z_y$，再对各处取平均。斜率是
#
# $$\frac{\partial L}{\partial z_j} = \frac{1}{M} (\operatorname{softmax}(z)_j - \delta_{jy}),$$
#
# 即“所信”减去“事实”。饱和的 softmax 本来会乘上一个让梯度消失的因子，对数恰好把它消去：一个曾被认
# 为不可能的字符，会以完整的 $1/M$ 推回去。
#
# 同一个单元还在 float64 下检验一个小 GPT 的全部参数（logits 上用随机的输入梯度），并检验没有哪一
# 处看得见未来：换掉最后一个字符，之前的 logits 一个比特也不许变。


# %% check="loss"
def cross_entropy(z, y):  # (M, V), (M,)
    shifted = z - z.max(-1, keepdims=True)
    return (np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(y)), y]).mean()


def cross_entropy_backward(g, z, y):
    e = np.exp(z - z.max(-1, keepdims=True))
    return (g * (e / e.sum(-1, keepdims=True) - np.eye(z.shape[-1])[y]) / len(y),)


rng = np.random.default_rng(0)
z, y = rng.standard_normal((4, 6)), rng.integers(0, 6, 4)
assert_gradients(
    (lambda z: cross_entropy(z, y), lambda g, z: cross_entropy_backward(g, z, y)), z, names="z"
)
assert np.isclose(F.cross_entropy(minigen.tensor(z), minigen.tensor(y)).item(), cross_entropy(z, y))

small = GPT(10, 8, 8, 1, 2).to(minigen.float64)
letters = minigen.tensor(rng.integers(0, 10, (2, 8)))
assert_gradients(small, letters)
other = letters.clone()
other[:, -1] = (letters[:, -1] + 1) % 10
with minigen.no_grad():
    assert (small(letters)[:, :-1] == small(other)[:, :-1]).all()
    assert not (small(letters)[:, -1] == small(other)[:, -1]).any()
print("cross-entropy, every parameter of a GPT, and causality: checked")

# %% [markdown] id="train"
# ## Training
#
# A step takes 16 windows of 65 characters from anywhere: the first 64 are the question, the last
# 64 the answer. AdamW, a learning rate that rises over 100 steps and falls along a cosine, and
# nothing else. Before the first step the loss is 4.31, a little below $\ln 76$: the model knows
# nothing, and is hardly sure of anything. At the end it is 1.94 on the held-out text. It passes
# the bigram within the first tenth of the steps, the 5-gram only in the second half, and then by
# little: 108,544 numbers against a table of everything that was ever seen.
#
# The right panel tells why. A window starts from nothing, so the first prediction has one
# character to go by, and is about as good as a bigram's: 2.63. From the fourth place on it is as
# good as the 5-gram, which sees four. The sixty places that follow could use more, and hardly do:
# the last 32 reach 1.92. In three minutes the model has learned to spell. It has not learned what
# a sentence is about, and what it writes will show it.

# %% [markdown] lang="zh" of="train" en="563371f4" captions={"loss": "训练中的损失；训练后按窗口内位置分的损失；旁边是计数模型。"}
# ## 训练
#
# 每一步从任意位置取 16 个窗口，每个 65 个字符：前 64 个是题目，后 64 个是答案。优化器是 AdamW，学
# 习率先用 100 步升上去，再沿余弦降下来，此外没有别的。第一步之前损失是 4.31，比 $\ln 76$ 略低：模
# 型什么也不知道，对什么也没有把握。训练结束时，留出文本上的损失是 1.94。它在头十分之一的步数里就
# 超过了二元模型，到后半程才超过五元模型，而且只超过一点：108,544 个数，对一张记录了所有见过的组合
# 的表。
#
# 右图说明了原因。窗口从零开始，第一个预测只有一个字符可依据，大约与二元模型一样好：2.63。从第四处
# 起，它就与看四个字符的五元模型一样好了。后面六十处本可以用到更多，却几乎没有：后 32 处达到 1.92。
# 三分钟里，模型学会了拼写。它没有学会一句话在说什么，看它写的东西就知道。

# %%
BATCH, STEPS, RATE = (4, 30, 4e-3) if fast() else (16, 3200, 4e-3)
EVERY = STEPS // (3 if fast() else 20)


def windows(source, starts):
    """Questions and answers, 2 x (N, T)."""
    cut_out = source[starts[:, None] + np.arange(T + 1)]  # (N, T + 1)
    return minigen.from_numpy(cut_out[:, :-1]), minigen.from_numpy(cut_out[:, 1:])


def loss_of(model, questions, answers):
    return F.cross_entropy(model(questions).reshape(-1, V), answers.reshape(-1))


@minigen.no_grad()
def held_out_losses(model, count):
    """The mean loss at each of the T places, over `count` windows spread over the text: (T,)."""
    total = np.zeros(T)
    for starts in np.array_split(np.linspace(0, len(held_out) - T - 1, count).astype(int), 10):
        questions, answers = windows(held_out, starts)
        log_p = F.log_softmax(model(questions), dim=-1)
        total -= log_p.gather(-1, answers.unsqueeze(-1)).squeeze(-1).sum(0).numpy()
    return total / count


def learning_rate(step):
    return RATE * min(1, (step + 1) / 100) * (0.55 + 0.45 * math.cos(math.pi * step / STEPS))


def training(model, steps, seed=0):
    """Train, and give the loss of each step before it is made."""
    optimizer = minigen.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    draw = np.random.default_rng(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = loss_of(model, *windows(train, draw.integers(0, len(train) - T - 1, BATCH)))
        optimizer.zero_grad()
        loss.backward()
        yield loss.item()
        optimizer.step()


COUNT = 20 if fast() else 400
curve = [(0, held_out_losses(model, COUNT).mean())]
claim("4.31", curve[0][1], within=0.03)
losses = []
for loss in training(model, STEPS):
    losses.append(loss)
    if len(losses) % EVERY == 0:
        curve.append((len(losses), held_out_losses(model, COUNT).mean()))
by_place = held_out_losses(model, 20 if fast() else 1600)
print(f"held out: {by_place.mean():.3f} nats, last 32 places {by_place[32:].mean():.3f}")

# %%
claim("1.94", by_place.mean(), within=0.02, trained=True)
claim("1.70", np.mean(losses[-200:]), within=0.02, trained=True)
claim("1.92", by_place[32:].mean(), within=0.02, trained=True)
claim("2.63", by_place[0], within=0.06, trained=True)
if not fast():
    passed = {name: min(step for step, nats in curve if nats < counted[name]) for name in counted}
    print("passed at step:", passed)
    assert passed["bigram"] <= STEPS / 10
    assert passed["5-gram"] >= STEPS / 2
    assert abs(by_place[3:8].mean() - counted["5-gram"]) < 0.04
figure = Figure(figsize=(7, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
left.plot(losses, color="#bbbbbb", linewidth=0.6, label="GPT, each batch")
left.plot(*zip(*curve), "o-", color="#0072b2", markersize=3, label="GPT, held out")
right.plot(np.arange(1, T + 1), by_place, color="#0072b2", label="GPT, held out")
for axes in (left, right):
    for name, style in (("bigram", ":"), ("5-gram", "--")):
        axes.axhline(counted[name], linestyle=style, color="#d55e00", linewidth=1.2, label=name)
left.set(xlabel="step", ylabel="nats per character", ylim=(1.5, 3.5))
right.set(xlabel="characters the model can see")
left.legend(frameon=False, fontsize=8)
show(figure, "loss", "Loss while training; after it, by place in the window; counting beside it.")

# %% [markdown] id="sampling"
# ## Writing, and the three knobs
#
# To write, draw $x_{t+1}$ from $\operatorname{softmax}(z)$, append it, repeat. Drawing honestly
# goes wrong in a particular way: dozens of characters that are each unlikely are together not
# unlikely, and one of them spoils a word. Hence three knobs. The *temperature* divides the
# logits; below 1 the likely becomes likelier. *Top-k* keeps the $k$ likeliest. *Top-p* keeps the
# likeliest that together have the probability $p$, few where the model is sure and many where it
# is not.


# %% [markdown] lang="zh" of="sampling" en="39f68d5f"
# ## 写作，与三个旋钮
#
# 写作就是从 $\operatorname{softmax}(z)$ 中抽出 $x_{t+1}$，接在后面，再来一遍。老老实实地抽，会以
# 一种特别的方式出错：几十个字符，每一个都不大可能，合起来却并不罕见，而其中一个就足以毁掉一个单词。
# 所以有三个旋钮。*温度*去除 logits，小于 1 时，可能的变得更可能。*top-k* 只留最可能的 $k$ 个。
# *top-p* 只留最可能的、合起来概率达到 $p$ 的那些：模型有把握时留得少，没把握时留得多。


# %%
def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def keep_likeliest(z, k):
    return np.where(z >= np.sort(z)[-k], z, -np.inf)


@minigen.no_grad()
def write(model, prompt, count, choose, seed=0):
    """Go on after the prompt; choose: logits (V,) -> probabilities (V,)."""
    draw, written = np.random.default_rng(seed), list(tokenizer.encode(prompt))
    for _ in range(count):
        window = minigen.tensor([written[-T:]])  # (1, at most T)
        p = choose(model(window).numpy()[0, -1].astype(np.float64))
        written.append(draw.choice(V, p=p))
    return tokenizer.decode(np.array(written))


LENGTH = 20 if fast() else 160
for name, choose in {
    "temperature 1": softmax,
    "temperature 0.5": lambda z: softmax(z / 0.5),
    "top-k 5": lambda z: softmax(keep_likeliest(z, 5)),
}.items():
    print(f"{name}: {write(model, 'HAMLET. ', LENGTH, choose)!r}")

# %% [markdown] id="nucleus" exercise="nucleus"
# ## Exercise: top-p
#
# Write `nucleus(p, top)`: probabilities $(V)$ in, probabilities $(V)$ out. Keep the smallest set
# of the likeliest characters whose probabilities add up to `top` or more, set the rest to 0, and
# divide by the sum of what is kept. The likeliest always stays. The usual mistake is to drop the
# character that crosses the line: for `(0.5, 0.4, 0.1)` and `top = 0.6` both of the first stay.

# %% [markdown] lang="zh" of="nucleus" en="d8447569"
# ## 练习：top-p
#
# 请写 `nucleus(p, top)`：输入概率 $(V)$，输出概率 $(V)$。保留最可能的字符所成的最小集合，使其概率
# 之和达到 `top` 或更多；其余置 0，再除以保留部分之和。最可能的那个总要留下。常见的错误是把跨过界
# 线的那个字符也丢掉：对 `(0.5, 0.4, 0.1)` 与 `top = 0.6`，前两个都应留下。


# %% solution="nucleus"
def nucleus(p, top):
    """p (V,) -> (V,), which sums to 1."""
    # BEGIN SOLUTION
    order = np.argsort(-p, kind="stable")  # likeliest first
    before = np.cumsum(p[order]) - p[order]  # what those before it have together
    count = max(1, (before < top).sum())
    kept = np.zeros_like(p)
    kept[order[:count]] = p[order[:count]]
    return kept / kept.sum()
    # END SOLUTION


# %%
for top in (0.6, 0.95):
    assert np.isclose(nucleus(np.array([0.4, 0.1, 0.5]), top).sum(), 1), "it must sum to 1"
kept = nucleus(np.array([0.4, 0.1, 0.5]), 0.6)
assert np.allclose(kept, [4 / 9, 0, 5 / 9]), f"for (0.4, 0.1, 0.5) and 0.6: got {kept}"
for top in (0.0, 0.3, 0.9, 1.0):
    p = softmax(2 * rng.standard_normal(V))
    library = Sampling(top_p=top).probabilities(minigen.tensor(np.log(p)[None]), letters[:, :0])
    assert np.allclose(nucleus(p, top), library.numpy()[0], atol=1e-12), f"top = {top}"
print(f"top-p 0.9: {write(model, 'HAMLET. ', LENGTH, lambda z: nucleus(softmax(z), 0.9))!r}")

# %% [markdown] id="cache"
# ## The cache, and what it saves
#
# `write` computes every place anew for every character. But a place never sees the future, so its
# keys and values never change: `cache` keeps them, and a new character is one query against all
# of them. It is the same function and has to give the same logits: in float64, fed one character
# at a time, it agrees with the whole pass to $10^{-12}$.
#
# What does it save? The last of 64 characters costs a 64th of the work, and no less time: the
# whole pass takes 0.8 times as long as the cached step. On a model as small as this, time is
# Python calling functions, as many of them for one character as for 64. With 1,024 characters the
# whole pass takes about 5 times as long. A cache is worth what the work is worth that it saves.

# %% [markdown] lang="zh" of="cache" en="9d2f7d58"
# ## 缓存，与它省下的
#
# `write` 每写一个字符，都把所有位置重算一遍。但没有哪一处看得见未来，它的键和值也就永远不变：
# `cache` 把它们存下来，新字符只是一个查询去问全部的键。这是同一个函数，必须给出同样的 logits：在
# float64 下逐个字符地喂进去，与整段一次算出的相差不到 $10^{-12}$。
#
# 它省下了什么？64 个字符中的最后一个，计算量只有六十四分之一，时间却并没有少：整段算一遍所用的时
# 间，是带缓存走一步的 0.8 倍。模型这么小，时间都花在 Python 调用函数上，一个字符与 64 个字符调用
# 的次数一样多。有 1,024 个字符时，整段算一遍大约要 5 倍的时间。省下的计算值多少，缓存就值多少。


# %%
@minigen.no_grad()
def one_by_one(model, ids):
    """The logits of a pass that reads character by character: (N, T) -> (N, T, V)."""
    caches = [{} for _ in model.blocks]
    return minigen.cat([model(ids[:, t : t + 1], caches) for t in range(ids.shape[1])], dim=1)


minigen.manual_seed(1)
double = GPT(V, T, WIDTH, LAYERS, HEADS).to(minigen.float64)
sentence = minigen.from_numpy(held_out[None, :T])  # (1, T)
with minigen.no_grad():
    whole = double(sentence)
print(f"cache: differs by {(one_by_one(double, sentence) - whole).abs().max().item():.0e}")
assert (one_by_one(double, sentence) - whole).abs().max().item() < 1e-12


@minigen.no_grad()
def cost_of_the_last(context):
    """How long a whole pass takes, in times of a step with a cache, in processor time."""
    model = GPT(V, context, WIDTH, LAYERS, HEADS)
    ids, caches = minigen.from_numpy(held_out[None, :context]), [{} for _ in model.blocks]
    model(ids[:, :-1], caches)
    taken = {"whole": [], "step": []}
    for _ in range(7):
        start = time.process_time()
        model(ids)
        middle = time.process_time()
        model(ids[:, -1:], [dict(cache) for cache in caches])
        taken["whole"].append(middle - start)
        taken["step"].append(time.process_time() - middle)
    return min(taken["whole"]) / min(taken["step"])


claim("0.8", cost_of_the_last(64), within=0.5, trained=True)
claim("5", cost_of_the_last(128 if fast() else 1024), within=3, trained=True)

# %% [markdown] id="kernel"
# ## Your own kernel under the model
#
# `F.scaled_dot_product_attention` runs on two kernels, `attention` and `attention_backward`, and
# `kernels.use` puts others in their place under any model. Here are two in plain NumPy. The first
# walks over the keys in tiles and never has all scores at once. It keeps, for each query, the
# largest score so far, the sum of exponentials and the sum of weighted values; where a tile
# brings a larger score, both sums are first multiplied by $e^{\mathrm{old} - \mathrm{new}}$,
# which shrinks them. The second is the gradient of chapter 16, with $P = e^{S -
# \mathrm{logsumexp}}$.
#
# Then three trainings of 50 steps from the same seed: on minigen's kernels, on yours, and on
# yours with the shrinking forgotten. Predict the third.

# %% [markdown] lang="zh" of="kernel" en="75f0667d" captions={"attention": "两个头读同一行字：行看列，颜色越深，权重越大。"}
# ## 把你自己的内核放到模型下面
#
# `F.scaled_dot_product_attention` 运行在 `attention` 与 `attention_backward` 两个内核上，
# `kernels.use` 可以在任何模型下面把它们换掉。下面是两个纯 NumPy 写的内核。第一个按块走过所有的键，
# 从不同时持有全部分数。对每个查询，它记着至今最大的分数、指数之和、加权的值之和；当某一块带来更
# 大的分数时，先把两个和乘以 $e^{\mathrm{old} - \mathrm{new}}$，使它们缩小。第二个是第 16 章的梯度，
# 其中 $P = e^{S - \mathrm{logsumexp}}$。
#
# 然后从同一个种子出发，做三次 50 步的训练：用 minigen 的内核，用你的内核，再用忘了缩小的你的内核。
# 请先预测第三次的结果。

# %%
TILE = 16


def my_attention(q, k, v, mask=None, is_causal=False, scale=None, shrinking=True):
    """(…, L, d), (…, S, d), (…, S, d) -> (…, L, d), logsumexp (…, L); for training: no mask."""
    query, key = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
    largest = np.full((*q.shape[:-1], 1), -np.inf, q.dtype)  # (…, L, 1)
    total, out = np.zeros_like(largest), np.zeros_like(q)
    for start in range(0, len(key), TILE):
        tile = slice(start, start + TILE)
        scores = q @ k[..., tile, :].swapaxes(-1, -2) * q.dtype.type(scale)  # (…, L, TILE)
        if is_causal:
            scores = np.where(key[tile] <= query, scores, q.dtype.type(-np.inf))
        new = np.maximum(largest, scores.max(-1, keepdims=True))
        shrink = np.exp(largest - new) if shrinking else (largest > -np.inf)
        e, largest = np.exp(scores - new), new
        total = total * shrink + e.sum(-1, keepdims=True)
        out = out * shrink + e @ v[..., tile, :]
    return out / total, (largest + np.log(total))[..., 0]


def my_attention_backward(g, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None):
    scale = q.dtype.type(scale)
    p = np.exp(q @ k.swapaxes(-1, -2) * scale - logsumexp[..., None])  # (…, L, S)
    if is_causal:
        p = p * np.tri(*p.shape[-2:], dtype=p.dtype)
    ds = p * (g @ v.swapaxes(-1, -2) - (g * out).sum(-1, keepdims=True)) * scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def forgetful(*arrays, **options):
    return my_attention(*arrays, **options, shrinking=False)


CHECKED = (1, 3, 10) if fast() else (1, 10, 50)
ran = {}
for name, chosen in {
    "minigen's": {},
    "yours": {"attention": my_attention, "attention_backward": my_attention_backward},
    "forgetful": {"attention": forgetful, "attention_backward": my_attention_backward},
}.items():
    minigen.manual_seed(2)
    with kernels.use(**chosen):
        ran[name] = list(training(GPT(V, T, WIDTH, LAYERS, HEADS), CHECKED[-1]))
    print(f"{name:10}", "  ".join(f"step {n}: {ran[name][n - 1]:.6f}" for n in CHECKED))

# %% [markdown] id="kernels_compared"
# On your kernels the losses are those of minigen's to all six digits shown; what may differ is
# the order of sums in float32. The forgetful kernel is wrong, and nothing has complained. Its
# shapes are right, which is what `kernels.use` checks at every call. At the start all scores are
# near 0, so hardly anything has to shrink. And its loss falls like the others', to within 0.0001
# of them. **A falling loss proves nothing about a kernel.** A comparison with the reference does:
# on scores of variance 1 the forgetful kernel is off by 0.88. Put under the model that was
# trained above, it takes the held-out loss from 1.95 to 2.71, worse than a bigram.

# %% [markdown] lang="zh" of="kernels_compared" en="96713b88"
# 换上你的内核，损失与用 minigen 内核时相比，显示的六位数字全都一致；可能有差别的只是 float32 求和
# 的次序。忘了缩小的内核是错的，却没有任何东西抱怨。它的形状没错，而 `kernels.use` 每次调用检查的
# 正是形状。起步时所有分数都接近 0，几乎没有什么需要缩小。它的损失也和别的一样下降，相差不到 0.0001。
# **损失在下降，说明不了内核是对的。** 与参照比较才能说明：分数方差为 1 时，忘了缩小的内核错了
# 0.88。把它放到上面训练好的模型下面，留出文本的损失从 1.95 变成 2.71，比二元模型还差。

# %%
for n in CHECKED:
    assert abs(ran["yours"][n - 1] - ran["minigen's"][n - 1]) < 1e-5
assert ran["forgetful"][-1] < ran["forgetful"][0] - 0.1  # and yet it falls
claim("0.0001", abs(ran["forgetful"][-1] - ran["minigen's"][-1]), within=0.0002, trained=True)

q, k, v = np.random.default_rng(1).standard_normal((3, 4, 64, 16))
exact, _ = kernels.get("attention", "reference")(q, k, v, is_causal=True)
errors = {
    kernel.__name__: np.abs(kernel(q, k, v, is_causal=True, scale=0.25)[0] - exact).max()
    for kernel in (my_attention, forgetful)
}
print({name: f"{error:.1e}" for name, error in errors.items()})
assert errors["my_attention"] < 1e-13
claim("0.88", errors["forgetful"])
with kernels.use(attention=forgetful):
    spoiled = held_out_losses(model, COUNT).mean()
print(f"the trained model: {curve[-1][1]:.2f}; on the forgetful kernel: {spoiled:.2f}")
claim("1.95", curve[-1][1], within=0.02, trained=True)
claim("2.71", spoiled, within=0.2, trained=True)

# %% [markdown] id="looking"
# ## What it looks at
#
# The weights are nowhere in memory, but the same door gives them: `watch_attention` swaps in a
# kernel that asks a second time, with the identity matrix for $V$. Below are two of the eight
# heads. On the left is the one with most weight on the character just before, 0.41 of it: the
# first block gathers the last few letters. On the right is the one that looks farthest back, 6.8
# characters on the average, which is also what looking evenly at everything would give. It is a
# faint texture rather than a gaze: an average of the past more than a search in it.

# %% [markdown] lang="zh" of="looking" en="2d596cf1"
# ## 它在看什么
#
# 权重并不在内存里，但同一扇门可以取得它们：`watch_attention` 换上一个内核，用单位矩阵代替 $V$ 再
# 问一遍。下面是八个头中的两个。左边的一个，放在紧邻的前一个字符上的权重最多，有 0.41：第一个块收
# 集最近的几个字母。右边的一个看得最远，平均往回看 6.8 个字符，而均匀地看所有字符也正是这个数。那
# 是淡淡的纹理，算不上注视：更像对过去取平均，而不是在其中寻找。

# %%
line = "To be, or not to be: that is"
with watch_attention(model) as looked, minigen.no_grad():
    model(minigen.from_numpy(tokenizer.encode(line)[None]))
maps = np.concatenate([weights[0][0] for weights in looked.values()])  # (L h, T, T)
n = len(line)
back = np.arange(n)[:, None] - np.arange(n)  # how far each key lies behind its query
before = maps[:, back == 1].mean(-1)  # (L h,): the weight on the character before
far = (maps * back).sum(-1).mean(-1)
claim("0.41", before.max(), within=0.1, trained=True)
claim("6.8", far.max(), within=0.5, trained=True)
claim("6.8", np.arange(n).mean() / 2)
print("weight on the character before, by head:", before.round(2))
print("characters looked back, by head:        ", far.round(1))

figure = Figure(figsize=(7, 3.7), layout="constrained")
for axes, head in zip(figure.subplots(1, 2), (before.argmax(), far.argmax())):
    axes.imshow(maps[head], cmap="Blues", vmin=0, vmax=1)
    axes.set_title(f"block {head // HEADS + 1}, head {head % HEADS + 1}", fontsize=9)
    axes.set_xticks(range(n), line.replace(" ", "␣"), fontsize=7, family="monospace")
    axes.set_yticks(range(n), line.replace(" ", "␣"), fontsize=7, family="monospace")
    axes.tick_params(length=0, pad=1)
show(figure, "attention", "Two heads on a line: rows look at columns, dark is much weight.")

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.models.GPT` is this model with dropout, the parameter groups of weight decay and a
# `generate` that reads through a cache; `minigen.models.sampling` has the knobs and a repetition
# penalty; `minigen.models.cache` the cache; `minigen.data` tokenizers of larger pieces;
# `minigen.kernels` the ladder that yours may join. `minigen train gpt` is the whole of it as a
# command, with checkpoints and a report.
#
# One number remains, and it says where to go on. Over the last 200 steps the training batches
# cost 1.70 nats, the unseen play 1.94. That recipe's model has seven times the parameters and
# gains about a hundredth of a nat on the second, as the README records. Eight plays are little
# text.

# %% [markdown] lang="zh" of="use" en="d93fbf67"
# ## 现在可以用的
#
# `minigen.models.GPT` 就是这个模型，另有 dropout、权重衰减的参数分组，以及带缓存的 `generate`；
# `minigen.models.sampling` 有三个旋钮和重复惩罚；`minigen.models.cache` 是缓存；`minigen.data` 有
# 更大单位的分词器；`minigen.kernels` 是你的内核可以加入的阶梯。`minigen train gpt` 是把这一切做成
# 的命令，带检查点和报告。
#
# 还有一个数字，它指明了下一步。最后 200 步的训练批次平均是 1.70 纳特，没见过的剧本是 1.94。上述命
# 令训练的模型有七倍的参数，后一个数字只改善约百分之一纳特（README 里有记录）。八部剧本，文本还是
# 太少。
