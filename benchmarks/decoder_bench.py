"""The measurements of `decoders.py`: each decoder's tuned weights, then its words, then its speed in several rounds."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import jiwer
import numpy as np
from systems import Run, Setup, Worker, missing
from terminal import log

EQUAL = 0.1  # absolute percent of WER up to which two decoders count as equally accurate
SPEED_SECONDS = 2.0  # of decoding for one decoder in one round
STEPS = (0.2, 1.0)  # of language model weight and word bonus, where tuning begins
TUNING_BEAM = 64


@dataclass(frozen=True)
class Candidate:
    """A decoder with fixed options."""

    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    most: int = 1024  # largest beam
    all_versions: bool = True
    weights_of: str = ""  # whose weights it takes; empty: its own
    compared_with: str = ""  # our decoder with the same vocabulary; empty: it is ours


@dataclass(frozen=True)
class Data:
    """Log-probabilities of one model, in several versions, with references."""

    versions: dict[str, list[np.ndarray]]  # each utterance's `(frames, tokens)`
    references: list[str]
    tuning: list[int]  # utterances
    measuring: list[int]
    pieces: list[str]
    frame_seconds: float
    factors: dict[str, float]  # of each version's log-probabilities, before renormalisation

    def wer(self, indices: Sequence[int], texts: Sequence[str]) -> float:
        """WER in percent of the first `len(texts)` utterances of `indices`."""
        return 100 * jiwer.wer([self.references[index] for index in indices[: len(texts)]], list(texts))

    def frames(self, indices: Sequence[int]) -> int:
        """Frames of some utterances; the same in all versions."""
        return sum(len(next(iter(self.versions.values()))[index]) for index in indices)


@dataclass
class Point:
    """A decoder at one beam."""

    candidate: Candidate
    setup: Setup
    texts: list[str]  # of the first utterances of the measuring half
    pace: float  # frames per second in the pass that measured WER
    speeds: list[float] = field(default_factory=list)  # frames per second in each round

    @property
    def speed(self) -> float:
        """Median frames per second."""
        return median(self.speeds)


class Bench:
    """The installed decoders, their processes, and their measurements."""

    def __init__(self, data: Data, arpa: Path, candidates: Sequence[Candidate]):
        self.data = data
        self.candidates = [candidate for candidate in candidates if not missing(candidate.kind)]
        kinds = dict.fromkeys(candidate.kind for candidate in self.candidates)
        self.workers = {kind: Worker(kind, data.pieces, str(arpa), data.versions) for kind in kinds}
        self.weights: dict[tuple[str, str], Setup] = {}  # by version and candidate
        self.points: dict[str, list[Point]] = {}  # by version

    def tune(self, count: int) -> None:
        """Language model weight and word bonus of each decoder for each version, on `count` utterances.

        Up to terms that are equal for all hypotheses, a version's scores are those of the first version times a factor.
        So are its best weights, and the search begins there.
        """
        sample = self.data.tuning[:count]
        for version in self.data.versions:
            for candidate in self.candidates:
                if not candidate.weights_of and (candidate.all_versions or version == self._first):
                    log(f"{version}: {candidate.name}: tuning")
                    self.weights[version, candidate.name] = self._tune(version, candidate, sample)

    def _tune(self, version: str, candidate: Candidate, sample: Sequence[int]) -> Setup:
        def cost(weight: float, bonus: float) -> float:
            setup = Setup(TUNING_BEAM, weight, bonus, candidate.options)
            return self.data.wer(sample, self.workers[candidate.kind].run(version, sample, setup).texts)

        if version == self._first:
            weight, bonus = descend(cost, (Setup.lm_weight, Setup.word_bonus), STEPS, 3)
        else:
            known, factor = self.weights[self._first, candidate.name], self.data.factors[version]
            start = factor * known.lm_weight, factor * known.word_bonus
            weight, bonus = descend(cost, start, (STEPS[0] / 2, STEPS[1] / 2), 1)
        return Setup(TUNING_BEAM, weight, bonus, candidate.options)

    def measure(self, beams: Sequence[int], rounds: int, limit: float) -> None:
        """Words once, then speeds in rounds; our decoder also at powers of two, for comparison at equal WER."""
        powers = [2**power for power in range(2, max(beams).bit_length()) if 2**power <= max(beams)]
        for version in self.data.versions:
            self.points[version] = points = []
            for candidate in self.candidates:
                if candidate.all_versions or version == self._first:
                    log(f"{version}: {candidate.name}: decoding")
                    sizes = beams if candidate.compared_with else sorted({*beams, *powers})
                    points += [
                        self._decode(version, candidate, beam, limit) for beam in sizes if beam <= candidate.most
                    ]
            self._time(version, points, rounds)

    def _decode(self, version: str, candidate: Candidate, beam: int, limit: float) -> Point:
        setup = self.setup(version, candidate, beam)
        run = self.workers[candidate.kind].run(version, self.data.measuring, setup, limit)
        return Point(candidate, setup, run.texts, self._speed(run))

    def _time(self, version: str, points: Sequence[Point], rounds: int) -> None:
        """Time each in turn, on the first utterances that take about `SPEED_SECONDS`."""
        for beam in sorted({point.setup.beam for point in points}):
            log(f"{version}: speed at beam {beam}")
            for _ in range(rounds):
                for point in points:
                    if point.setup.beam == beam:
                        worker = self.workers[point.candidate.kind]
                        limit = min(SPEED_SECONDS, self.data.frames(self.data.measuring) / point.pace)
                        run = worker.run(version, self.data.measuring, point.setup, limit)
                        point.speeds.append(self._speed(run))

    def variants(self, rows: Sequence[tuple[str, dict[str, Any]]], rounds: int, limit: float) -> list[Point]:
        """Options of a decoder against its defaults, on the first version, at the beam of the tuning."""
        named = {candidate.name: candidate for candidate in self.candidates}
        log("options")
        points = [
            self._decode(self._first, replace(named[name], options=named[name].options | options), TUNING_BEAM, limit)
            for name, options in rows
            if name in named
        ]
        self._time(self._first, points, rounds)
        return points

    def threads(self, beams: Sequence[int], rounds: int) -> dict[int, tuple[float, float]]:
        """Wall-clock seconds for the measuring half by one thread and by two, per beam."""
        log("threads")
        candidate = self.candidates[0]
        result = {}
        for beam in beams:
            seconds = defaultdict(list)
            for _ in range(rounds):
                for count in (1, 2):
                    setup = self.setup(self._first, candidate, beam)
                    run = self.workers["asr"].run(self._first, self.data.measuring, setup, threads=count)
                    seconds[count].append(run.total)
            result[beam] = median(seconds[1]), median(seconds[2])
        return result

    def setup(self, version: str, candidate: Candidate, beam: int) -> Setup:
        """A decoder's tuned weights, its options, and a beam."""
        weights = self.weights.get((version, candidate.weights_of or candidate.name), Setup())
        return replace(weights, beam=beam, options=candidate.options)

    def equal(self, version: str, point: Point) -> Point | None:
        """Our fastest point whose WER on the same utterances is at most `EQUAL` above the other decoder's."""
        wer, indices = self.data.wer, self.data.measuring
        least = wer(indices, point.texts) + EQUAL
        ours = [ours for ours in self.points[version] if ours.candidate.name == point.candidate.compared_with]
        fit = [ours for ours in ours if wer(indices, ours.texts[: len(point.texts)]) <= least]
        return max(fit, key=lambda ours: ours.speed, default=None)

    def close(self) -> dict[str, tuple[float, int, int]]:
        """End the processes: for each, seconds until it could decode, memory at that time, and peak memory."""
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
    """The minimum of a function of two numbers by compass search (Hooke & Jeeves 1961); the first is at least 0."""
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
