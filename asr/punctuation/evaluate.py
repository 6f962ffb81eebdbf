"""Labels predicted for a punctuated text against its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.punctuation.corpus import read_text
from asr.punctuation.labeller import Labeller
from asr.punctuation.scores import PunctuationScores


@dataclass(frozen=True)
class PunctuationReport:
    """The scores of a model on a text."""

    scores: PunctuationScores
    words: int
    left_out: int  # paragraphs with digits, or in capital letters only

    def to_text(self) -> str:
        """Precision, recall, F1 and confusions of every label."""
        left_out = f"; {self.left_out:,} paragraphs with digits or without small letters left out"
        lines = [f"words  {self.words:,}{left_out if self.left_out else ''}"]
        for name, confusions in (("marks", self.scores.marks), ("cases", self.scores.cases)):
            lines += ["", f"{name}  accuracy {confusions.accuracy:.2%}", *confusions.table()]
        return "\n".join(lines)


def evaluate_punctuation(model: Path, texts: Sequence[Path]) -> PunctuationReport:
    """Take punctuation and capital letters from texts and predict them again.

    Raises `ModelFileError` or `TextError` naming a file that cannot be used.
    """
    text, labeller = read_text(texts), Labeller(model)
    predicted = labeller.label(text.words)
    return PunctuationReport(PunctuationScores.of((text.cases, text.marks), predicted), len(text), text.left_out)
