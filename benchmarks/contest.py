"""The contest: tuning each decoder's weights, then its words and its speed, round by round."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import jiwer
import numpy as np
from systems import Run, Setup, Worker, missing
from terminal import tell

EQUAL = 0.1  # percent of WER, absolute, up to which two decoders count as equally good
SPEED_SECONDS = 2.0  # of decoding for one decoder in one round
STEPS = (0.2, 1.0)  # of language model weight and word bonus, where tuning begins
TUNING_BEAM = 64


@dataclass(frozen=True)
class Contender:
    """A decoder as it is compared."""

    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    most: int = 1024  # largest beam
    all_versions: bool = True
    weights_of: str = ""  # whose weights it takes; empty: its own
    rival: str = ""  # ours in the same vocabulary; empty: it is ours


@dataclass(frozen=True)
class Data:
    """Log-probabilities of one model, in several versions, with what was said."""

    versions: dict[str, list[np.ndarray]]  # each utterance's `(frames, tokens)`
    references: list[str]
    tuning: list[int]  # utterances
    measuring: list[int]
    pieces: list[str]
    frame_seconds: float
    factors: dict[str, float]  # of each version's log-probabilities before they are made to sum to 1

    def wer(self, indices: Sequence[int], texts: Sequence[str]) -> float:
        """Percent, of the first utterances of `indices`, as many as there are texts."""
        return 100 * jiwer.wer([self.references[index] for index in indices[: len(texts)]], list(texts))

    def frames(self, indices: Sequence[int]) -> int:
        """Frames of some utterances; the same in all versions."""
        return sum(len(next(iter(self.versions.values()))[index]) for index in indices)


@dataclass
class Point:
    """A decoder at one beam."""

    contender: Contender
    setup: Setup
    texts: list[str]  # of the first utterances of the measuring half
    pace: float  # frames a second in the pass that measured WER
    speeds: list[float] = field(default_factory=list)  # frames a second in each round

    @property
    def speed(self) -> float:
        """Frames a second."""
        return median(self.speeds)


class Bench:
    """The decoders that are installed, their processes, and what has been measured with them."""

    def __init__(self, data: Data, arpa: Path, contenders: Sequence[Contender]):
        self.data = data
        self.contenders = [contender for contender in contenders if not missing(contender.kind)]
        kinds = dict.fromkeys(contender.kind for contender in self.contenders)
        self.workers = {kind: Worker(kind, data.pieces, str(arpa), data.versions) for kind in kinds}
        self.weights: dict[tuple[str, str], Setup] = {}  # by version and contender
        self.points: dict[str, list[Point]] = {}  # by version

    def tune(self, count: int) -> None:
        """Language model weight and word bonus of each decoder for each version, on `count` utterances.

        A version's scores are those of the first times a factor, but for what is the same for all hypotheses: so
        are its best weights, from which the search begins.
        """
        sample = self.data.tuning[:count]
        for version in self.data.versions:
            for contender in self.contenders:
                if not contender.weights_of and (contender.all_versions or version == self._first):
                    tell(f"{version}: {contender.name}: tuning")
                    self.weights[version, contender.name] = self._tune(version, contender, sample)

    def _tune(self, version: str, contender: Contender, sample: Sequence[int]) -> Setup:
        def cost(weight: float, bonus: float) -> float:
            setup = Setup(TUNING_BEAM, weight, bonus, contender.options)
            return self.data.wer(sample, self.workers[contender.kind].run(version, sample, setup).texts)

        if version == self._first:
            weight, bonus = descend(cost, (Setup.lm_weight, Setup.word_bonus), STEPS, 3)
        else:
            known, factor = self.weights[self._first, contender.name], self.data.factors[version]
            start = factor * known.lm_weight, factor * known.word_bonus
            weight, bonus = descend(cost, start, (STEPS[0] / 2, STEPS[1] / 2), 1)
        return Setup(TUNING_BEAM, weight, bonus, contender.options)

    def measure(self, beams: Sequence[int], rounds: int, limit: float) -> None:
        """Words once, then speeds, round by round. Ours also at the powers of two, to be compared at equal WER."""
        powers = [2**power for power in range(2, max(beams).bit_length()) if 2**power <= max(beams)]
        for version in self.data.versions:
            self.points[version] = points = []
            for contender in self.contenders:
                if contender.all_versions or version == self._first:
                    tell(f"{version}: {contender.name}: decoding")
                    sizes = beams if contender.rival else sorted({*beams, *powers})
                    points += [
                        self._decode(version, contender, beam, limit) for beam in sizes if beam <= contender.most
                    ]
            self._race(version, points, rounds)

    def _decode(self, version: str, contender: Contender, beam: int, limit: float) -> Point:
        setup = self.setup(version, contender, beam)
        run = self.workers[contender.kind].run(version, self.data.measuring, setup, limit)
        return Point(contender, setup, run.texts, self._speed(run))

    def _race(self, version: str, points: Sequence[Point], rounds: int) -> None:
        """Each in turn on the first utterances, as many as take about `SPEED_SECONDS`."""
        for beam in sorted({point.setup.beam for point in points}):
            tell(f"{version}: speed at beam {beam}")
            for _ in range(rounds):
                for point in points:
                    if point.setup.beam == beam:
                        worker = self.workers[point.contender.kind]
                        limit = min(SPEED_SECONDS, self.data.frames(self.data.measuring) / point.pace)
                        run = worker.run(version, self.data.measuring, point.setup, limit)
                        point.speeds.append(self._speed(run))

    def variants(self, rows: Sequence[tuple[str, dict[str, Any]]], rounds: int, limit: float) -> list[Point]:
        """Options of a decoder against its defaults, as trained, at the beam of the tuning."""
        named = {contender.name: contender for contender in self.contenders}
        tell("options")
        points = [
            self._decode(self._first, replace(named[name], options=named[name].options | options), TUNING_BEAM, limit)
            for name, options in rows
            if name in named
        ]
        self._race(self._first, points, rounds)
        return points

    def threads(self, beams: Sequence[int], rounds: int) -> dict[int, tuple[float, float]]:
        """Seconds on the clock for the measuring half by one thread and by two, for each beam."""
        tell("threads")
        contender = self.contenders[0]
        result = {}
        for beam in beams:
            seconds = defaultdict(list)
            for _ in range(rounds):
                for count in (1, 2):
                    setup = self.setup(self._first, contender, beam)
                    run = self.workers["asr"].run(self._first, self.data.measuring, setup, threads=count)
                    seconds[count].append(run.total)
            result[beam] = median(seconds[1]), median(seconds[2])
        return result

    def setup(self, version: str, contender: Contender, beam: int) -> Setup:
        """A decoder's tuned weights, its options, and a beam."""
        weights = self.weights.get((version, contender.weights_of or contender.name), Setup())
        return replace(weights, beam=beam, options=contender.options)

    def equal(self, version: str, point: Point) -> Point | None:
        """Our fastest point whose WER on the same utterances is at most `EQUAL` above another decoder's."""
        wer, indices = self.data.wer, self.data.measuring
        least = wer(indices, point.texts) + EQUAL
        ours = [ours for ours in self.points[version] if ours.contender.name == point.contender.rival]
        fit = [ours for ours in ours if wer(indices, ours.texts[: len(point.texts)]) <= least]
        return max(fit, key=lambda ours: ours.speed, default=None)

    def close(self) -> dict[str, tuple[float, int, int]]:
        """End the processes: for each, seconds until it could decode, memory then, and the most it ever had."""
        figures = {}
        for kind, worker in self.workers.items():
            peak = worker.run(self._first, self.data.measuring[:1], Setup()).peak_bytes
            figures[kind] = worker.load_seconds, worker.load_bytes, peak
            worker.close()
        return figures

    @property
    def _first(self) -> str:
        return next(iter(self.data.versions))

    def _speed(self, run: Run) -> float:
        return self.data.frames(self.data.measuring[: len(run.texts)]) / run.total


def descend(
    cost: Callable[[float, float], float], start: tuple[float, float], steps: tuple[float, float], halvings: int
) -> tuple[float, float]:
    """The least of a function of two numbers by compass search (Hooke & Jeeves 1961); the first is not below 0."""
    costs: dict[tuple[float, float], float] = {}

    def known(point: tuple[float, float]) -> float:
        if point not in costs:
            costs[point] = cost(*point)
        return costs[point]

    best = round(start[0], 3), round(start[1], 3)
    for halving in range(halvings):
        across, along = steps[0] / 2**halving, steps[1] / 2**halving
        while True:
            weight, bonus = best
            around = [
                (weight + across, bonus),
                (weight - across, bonus),
                (weight, bonus + along),
                (weight, bonus - along),
            ]
            allowed = [(round(a, 3), round(b, 3)) for a, b in around if a >= 0]
            better = min([best, *allowed], key=known)
            if better == best:
                break
            best = better
    return best
