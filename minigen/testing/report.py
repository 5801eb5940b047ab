"""What a check of gradients found: findings, in sentences, most specific first."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["KINDS", "Finding", "GradcheckError", "GradcheckWarning", "Report"]


class GradcheckError(RuntimeError):
    """A gradient is wrong, or could not be checked; the message says which, and why."""


class GradcheckWarning(UserWarning):
    """A check passed with something left out, or with less precision than it could have."""


KINDS = {
    # the gradient as a whole
    "cut": "no graph leads from the output to the argument",
    "zero": "it is 0 everywhere",
    "sign": "right size, wrong sign",
    "factor": "off by a factor: a number, one for each index of an axis, or an array at hand",
    "transposed": "the right numbers with axes exchanged",
    "flipped": "the right numbers, reversed along an axis",
    "shifted": "the right numbers, rolled along an axis",
    "order": "the right numbers in another order along an axis",
    "swapped": "the right gradient of another argument",
    "cotangent": "it does not carry the incoming gradient, or not linearly, or not in every term",
    "nonfinite": "NaN or infinite",
    # what it is made of
    "term": "a named term is missing, doubled, of the wrong sign or size",
    "derivative": "a function of each element: another derivative than its own",
    "operand": "a product or sum with the wrong array, or one transposed or reversed",
    "jacobian": "the Jacobian in place of its transpose: forward where its reverse is needed",
    "sum": "what is missing goes through a sum or mean over an axis",
    "axis": "a sum over the wrong axis",
    # where it is wrong
    "accumulate": "in rows that an index names more than once",
    "mask": "entries that should get 0 do not, or the reverse",
    "region": "in a range of values",
    "distribution": "the right sums, handed to the wrong entries",
    "index": "at some index of an axis",
    "output": "in what comes through some index of the output",
    # its form
    "broadcast": "not summed over an axis that was broadcast",
    "shape": "another shape", "reshape": "the right values in another shape",
    "dtype": "another dtype",
    # of the function as a whole
    "count": "too many or too few gradients", "mutated": "an input was written into",
    "random": "two runs differ", "layout": "the result depends on strides",
    "error": "backward raised an error",
    "kink": "no derivative at any entry",
    "entries": "nothing more than which entries differ",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    kind:     a word for programs, one of `KINDS`; "entries" where no mistake could be named.
    argument: the name of the argument whose gradient it is; empty if it concerns all.
    text:     the sentence for the reader.
    """

    kind: str
    argument: str
    text: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no kind of finding: {self.kind!r}")

    @property
    def specific(self) -> bool:
        """Whether it names a mistake, not only the entries that differ."""
        return self.kind != "entries"

    def __str__(self) -> str:
        return f"gradient of {self.argument}: {self.text}" if self.argument else self.text


@dataclass
class Report:
    """The result of `check_gradients`: truthy if nothing is wrong.

    findings: what is wrong, for each argument most specific first.
    notes:    what was left out of the check, and why.
    checked:  how many numbers of the arguments took part.
    """

    title: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0

    def __bool__(self) -> bool:
        return not self.findings

    @property
    def named(self) -> bool:
        """Whether at least one finding names a mistake."""
        return any(finding.specific for finding in self.findings)

    def add(self, kind: str, argument: str, text: str) -> None:
        self.findings.append(Finding(kind, argument, text))

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings]
        lines += [f"note: {note}" for note in self.notes]
        if not self.findings:
            return "\n".join([f"{self.title}: gradients agree ({self.checked} numbers)", *lines])
        return "\n".join([f"{self.title}: wrong gradients", *lines])
