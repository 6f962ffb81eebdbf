"""How well labels are predicted: confusions, and F1 per label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from asr.punctuation.labels import CASES, COMMA, FULL_STOP, MARKS, QUESTION


@dataclass(frozen=True)
class Confusions:
    """Counts of words by true label (rows) and predicted label (columns)."""

    counts: np.ndarray  # (labels, labels) int64
    names: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of words with the right label."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))

    def f1(self, label: int) -> float:
        """The harmonic mean of precision and recall; NaN for a label that neither occurs nor is predicted."""
        total = self.counts[label].sum() + self.counts[:, label].sum()
        return float(2 * self.counts[label, label] / total) if total else float("nan")

    def precision(self, label: int) -> float:
        """Share of the words predicted to have a label that have it."""
        return float(self.counts[label, label] / max(1, self.counts[:, label].sum()))

    def recall(self, label: int) -> float:
        """Share of the words with a label that are predicted to have it."""
        return float(self.counts[label, label] / max(1, self.counts[label].sum()))

    def table(self) -> list[str]:
        """Precision, recall, F1 and the confusions of each label, as lines."""
        width = max(map(len, self.names))
        head = " ".join(f"{name.split()[0]:>11}" for name in self.names)
        lines = [f"{'':{width}}  precision  recall      F1   predicted:{head}"]
        for label, name in enumerate(self.names):
            figures = f"{self.precision(label):9.1%} {self.recall(label):7.1%} {self.f1(label):7.3f}"
            lines.append(f"{name:{width}}  {figures}{'':14}" + " ".join(f"{count:11,}" for count in self.counts[label]))
        return lines


@dataclass(frozen=True)
class PunctuationScores:
    """Confusions of the marks and of the cases."""

    marks: Confusions
    cases: Confusions

    @staticmethod
    def of(true: tuple[np.ndarray, np.ndarray], predicted: tuple[np.ndarray, np.ndarray]) -> "PunctuationScores":
        """From the cases and the marks of the same words, `(words,)` each."""
        cases, marks = (
            confusions(labels, found, names)
            for labels, found, names in zip(true, predicted, (CASES, MARKS), strict=True)
        )
        return PunctuationScores(marks, cases)

    def to_line(self) -> str:
        """The figures that matter most, briefly."""
        shown = ((COMMA, ","), (FULL_STOP, "."), (QUESTION, "?"))
        marks = "  ".join(f"{written} {self.marks.f1(mark):.3f}" for mark, written in shown)
        return f"F1 {marks}  case accuracy {self.cases.accuracy:.2%}"

    def values(self) -> dict[str, float]:
        """F1 of each mark and case, by name, and the accuracies."""
        named = {name.replace(" ", "_"): self.marks.f1(label) for label, name in enumerate(MARKS) if label}
        named |= {name.lower(): self.cases.f1(label) for label, name in enumerate(CASES)}
        named = {name: value for name, value in named.items() if value == value}
        return {"mark_accuracy": self.marks.accuracy, "case_accuracy": self.cases.accuracy, **named}


def confusions(true: ArrayLike, predicted: ArrayLike, names: tuple[str, ...]) -> Confusions:
    """Counts of the pairs of labels."""
    size = len(names)
    pairs = np.asarray(true, np.int64) * size + np.asarray(predicted, np.int64)
    return Confusions(np.bincount(pairs, minlength=size * size).reshape(size, size), names)
