"""All that the study measured, in one record; what it says of them is computed from it in `findings.py`."""

from dataclasses import dataclass
from typing import Any

from accuracy import Accuracy, LengthCurve
from exploding import Excursion
from parallelism import Speed
from partial import Partial
from reach import Reach


@dataclass(frozen=True)
class Results:
    """By family, in the order of the report."""

    title: str  # of the speech
    synthetic: bool
    quick: bool
    command: str  # that made it
    environment: dict[str, Any]
    dev_manifest: str
    frame_seconds: float
    test_minutes: float
    accuracy: dict[str, Accuracy]  # with all of the speech
    less: dict[float, dict[str, Accuracy]]  # with so many minutes of it
    small: dict[str, Accuracy]  # with all of the speech and fewer parameters; may be empty
    length: dict[str, LengthCurve]
    speed: dict[str, Speed]
    reach: dict[str, Reach]
    clipped: dict[str, Excursion]
    free: dict[str, Excursion]
    partial: dict[str, Partial]

    @property
    def ranked(self) -> list[str]:
        """Families, the lowest WER first."""
        return sorted(self.accuracy, key=lambda family: self.accuracy[family].wer)

    def curve(self, family: str) -> list[tuple[float, float]]:
        """(minutes of speech to learn from, WER), from little to much."""
        less = [(60 * own[family].hours, own[family].wer) for own in self.less.values()]
        return [*sorted(less), (60 * self.accuracy[family].hours, self.accuracy[family].wer)]
