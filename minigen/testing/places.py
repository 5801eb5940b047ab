"""Patterns of a diagnosis that ask *where* a gradient is wrong: a region, an index, a mask."""

from __future__ import annotations

import numpy as np

from minigen.testing.evidence import Evidence, alike

__all__ = [
    "distribution", "mask", "one_index", "one_output", "region", "repeated_index", "several_uses",
]  # fmt: skip

Answer = tuple[str, str] | None
NICE = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0)


def _threshold(low: float, high: float) -> str:
    """A number between the two, a round one if there is one."""
    for number in NICE:
        if low <= number <= high:
            return f"{number:g}"
    return f"about {(low + high) / 2:.3g}"


def _where(e: Evidence, chosen: np.ndarray) -> str | None:
    """The entries that are chosen, as a range of some array at hand: "where x < 0"."""
    if min(int(chosen.sum()), int((~chosen).sum())) < 3:
        return None
    for name in e.quantities:
        q = e.over(name)
        if q is None or name.startswith("the cotangent") or name.startswith("cotangent"):
            continue
        inside, outside = q[chosen], q[~chosen]
        if np.ptp(inside) == 0 and not (outside == inside[0]).any():
            return f"where {name} is {inside[0]:g}"
        if inside.max() < outside.min():
            return f"where {name} < {_threshold(inside.max(), outside.min())}"
        if inside.min() > outside.max():
            return f"where {name} > {_threshold(outside.max(), inside.min())}"
        low, high = inside[inside < outside.min()], inside[inside > outside.max()]
        if len(low) + len(high) == len(inside):
            below = _threshold(low.max(), outside.min())
            above = _threshold(outside.max(), high.min())
            return f"where {name} < {below} or > {above}"
        low, high = outside[outside < inside.min()], outside[outside > inside.max()]
        if len(low) + len(high) == len(outside) and len(inside) >= 4:
            below = _threshold(low.max(), inside.min())
            return f"where {name} lies between {below} and {_threshold(inside.max(), high.min())}"
    return None


def mask(e: Evidence) -> Answer:
    """Entries get a gradient that should get none, or the other way round; the others are right."""
    nothing = np.abs(e.want) <= 1e-7 * np.abs(e.want).max(initial=0.0)
    dropped = e.got == 0
    if nothing.any() and np.array_equal(dropped, ~nothing):
        return (
            "mask",
            "it is 0 where it should not be, and not 0 where it should be: the mask is inverted",
        )
    if not (e.wrong & ~nothing).any():
        where = _where(e, e.wrong)
        all_of_them = "all" if np.array_equal(e.wrong, nothing) else "some"
        place = where or f"{all_of_them} entries whose right gradient is 0"
        return "mask", (
            f"only entries that should get 0 are wrong ({int(e.wrong.sum())} of {e.got.size}, "
            f"{place}): they had no influence on the output, a mask is missing"
        )
    if not (e.wrong & ~dropped).any():
        where = _where(e, e.wrong)
        return "mask", (
            f"entries are left at 0 that had an influence ({int(e.wrong.sum())} of {e.got.size}"
            f"{', ' + where if where else ''}); all others are right"
        )
    return None


def distribution(e: Evidence) -> Answer:
    """The right amounts, handed to the wrong entries."""
    for axis, n in enumerate(e.shape):
        totals = e.want.sum(axis=axis)
        matters = np.abs(totals).max(initial=0.0) > 1e-3 * np.abs(e.want).max(initial=0.0)
        if n > 1 and matters and alike(e.got.sum(axis=axis), totals):
            even = np.ptp(e.got, axis=axis).max(initial=0.0) <= 1e-9 * np.abs(e.got).max()
            how = "it is spread evenly" if even else "it goes to the wrong entries"
            return "distribution", (
                f"the sums along axis {axis} are right, but {how}: it belongs to those entries "
                "that the output was made of"
            )
    return None


def region(e: Evidence) -> Answer:
    """Wrong in a range of values only."""
    if e.wrong.all():
        return None
    where = _where(e, e.wrong)
    if where is None:
        return None
    return "region", (
        f"only entries {where} are wrong ({int(e.wrong.sum())} of {e.got.size}): one branch of the "
        "derivative"
    )


def repeated_index(e: Evidence) -> Answer:
    """Wrong in those rows that an integer input names more than once."""
    for name, index in e.inputs.items():
        if index.dtype.kind not in "iu" or index.size < 2:
            continue
        for axis, n in enumerate(e.shape):
            flat = np.where(index < 0, index + n, index).reshape(-1).astype(np.int64)
            if flat.min() < 0 or flat.max() >= n:
                continue
            often = np.bincount(flat, minlength=n) > 1
            rows = np.moveaxis(e.wrong, axis, 0).reshape(n, -1).any(axis=1)
            once = np.bincount(flat, minlength=n) == 1
            if rows.any() and (once & ~rows).any() and not (rows & ~often).any():
                return "accumulate", (
                    f"only what {name} names more than once is wrong (index "
                    f"{_listed(np.flatnonzero(rows))} of axis {axis}): the gradients of all "
                    "mentions are added up (np.add.at), an assignment keeps just one"
                )
    return None


def several_uses(e: Evidence) -> Answer:
    """Entries that several outputs were made of get the gradient of one of them, or the mean."""
    if e.jacobian is None or not e.wrong.any():
        return None
    parts = e.jacobian * np.concatenate([c.reshape(-1) for c in e.cotangents])
    scale = np.abs(e.want).max(initial=0.0)
    used = np.abs(parts) > 1e-6 * max(scale, float(np.abs(parts).max(initial=0.0)))
    uses, wrong = used.sum(axis=1), e.wrong.reshape(-1)
    got, want = e.got.reshape(-1), e.want.reshape(-1)
    if (uses[wrong] < 2).any() or not (uses == 1).any():
        return None
    one = (np.abs(parts - got[:, None]) <= 1e-4 * scale) & used
    if one[wrong].any(axis=1).all():
        return "accumulate", (
            "entries that several outputs were made of get the gradient of one of them only: add "
            "up what comes back from all uses (+=, np.add.at), an assignment keeps just one"
        )
    if alike(got * np.maximum(uses, 1), want):
        return "factor", "it is divided by how often each entry is used: add up, do not average"
    return None


def _listed(indices: np.ndarray) -> str:
    shown = ", ".join(str(int(i)) for i in indices[:6])
    return f"[{shown}{', ...' if len(indices) > 6 else ''}]"


def _pattern(indices: np.ndarray, n: int) -> str:
    """What the indices of one axis have in common, in words, if anything."""
    chosen = {int(i) for i in indices}
    if len(chosen) == n or not chosen:
        return ""
    if chosen == {0}:
        return "the first"
    if chosen == {n - 1}:
        return "the last"
    if chosen == {0, n - 1}:
        return "the first and the last: the border?"
    if len(chosen) == 1:
        return "one"
    if len(chosen) == n - 1 and n > 2:
        kept = ({*range(n)} - chosen).pop()
        return f"all but {kept}: is a sum over the axis left out?"
    steps = np.diff(sorted(chosen))
    if len(chosen) > 2 and n > 3 and len(set(steps.tolist())) == 1 and steps[0] > 1:
        return f"every {steps[0]}th: a stride?" if steps[0] > 2 else "every second: a stride?"
    if (steps == 1).all() and 2 * len(chosen) <= n:
        end = "the start" if 0 in chosen else "the end" if n - 1 in chosen else "a part"
        return f"{end} of the axis"
    return ""


def one_index(e: Evidence) -> Answer:
    """Wrong at some index of some axis only."""
    best = None
    for axis, n in enumerate(e.shape):
        rows = np.moveaxis(e.wrong, axis, 0).reshape(n, -1).any(axis=1)
        pattern = _pattern(np.flatnonzero(rows), n)
        if pattern and (best is None or rows.sum() / n < best[0]):
            text = f"only index {_listed(np.flatnonzero(rows))} of axis {axis} is wrong ({pattern})"
            best = rows.sum() / n, text
    if best is None:
        return None
    return "index", f"{best[1]}, {int(e.wrong.sum())} of {e.got.size} entries; the rest is right"


def one_output(e: Evidence) -> Answer:
    """Right but for what comes from some index of some axis of the output."""
    given, right = e.given_jacobian, e.jacobian
    if given is None or right is None:
        return None
    scale = np.abs(right).max(initial=0.0)
    bad = (np.abs(given - right) > 1e-4 * scale).any(axis=0)  # (entries of all outputs,)
    start = 0
    for i, output in enumerate(e.outputs):
        part = bad[start : start + output.size].reshape(output.shape)
        of_output = given[:, start : start + output.size]
        start += output.size
        which = f"output {i}" if len(e.outputs) > 1 else "the output"
        if bad.sum() == part.sum() == output.size and len(e.outputs) > 1:
            left_out = alike(of_output, np.zeros_like(of_output))
            how = "is left out" if left_out else "is wrong; that of the other outputs is right"
            return "output", f"what comes through {which} {how}"
        for axis, n in enumerate(output.shape):
            rows = np.moveaxis(part, axis, 0).reshape(n, -1).any(axis=1)
            pattern = _pattern(np.flatnonzero(rows), n)
            if pattern and part.sum() == bad.sum():
                return "output", (
                    f"only what comes through index {_listed(np.flatnonzero(rows))} of axis {axis} "
                    f"of {which} is wrong ({pattern}); that of the others is right"
                )
    return None
