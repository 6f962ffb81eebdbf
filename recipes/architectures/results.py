"""Everything the study measured, in one record; `findings.py` computes its sentences from it."""

from dataclasses import dataclass
from typing import Any

from accuracy import Accuracy, LengthCurve
from exploding import Excursion
from parallelism import Speed
from partial import Partial
from reach import Reach


@dataclass(frozen=True)
class Results:
    """The measurements by family, in the report's order."""

    title: str  # of the speech
    synthetic: bool
    quick: bool
    trial_epochs: int  # after which the learning rates were compared; 0: after the last
    command: str  # that produced it
    environment: dict[str, Any]
    dev_manifest: str
    frame_seconds: float
    test_minutes: float
    accuracy: dict[str, Accuracy]  # with all of the speech
    less: dict[float, dict[str, Accuracy]]  # by minutes of speech
    small: dict[str, Accuracy]  # all of the speech, fewer parameters; may be empty
    length: dict[str, LengthCurve]
    speed: dict[str, Speed]
    reach: dict[str, Reach]
    clipped: dict[str, Excursion]
    free: dict[str, Excursion]
    partial: dict[str, Partial]

    @property
    def searched(self) -> bool:
        """Whether a language model took part in decoding."""
        return self.accuracy["bilstm"].greedy_wer is not None

    @property
    def ranked(self) -> list[str]:
        """Families by WER, lowest first."""
        return sorted(self.accuracy, key=lambda family: self.accuracy[family].wer)

    def curve(self, family: str) -> list[tuple[float, float]]:
        """(minutes of training speech, WER), ascending."""
        less = [(60 * own[family].hours, own[family].wer) for own in self.less.values()]
        return [*sorted(less), (60 * self.accuracy[family].hours, self.accuracy[family].wer)]
