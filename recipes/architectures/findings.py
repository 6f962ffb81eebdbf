"""The findings: sentences computed from the measurements, so that they hold for whoever wins."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from accuracy import difference
from exploding import Excursion
from parallelism import BATCH, BATCH_UTTERANCE_SECONDS, growth
from reach import farthest
from results import Results

from asr.evaluation.terminal import percent

NAMES = {
    "none": "no memory",
    "rnn": "RNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "bilstm": "BiLSTM",
    "cnn": "CNN",
    "transformer": "transformer",
}
ONE_DIRECTION = ("rnn", "gru", "lstm")
CAUSAL = ("none", *ONE_DIRECTION)
NEAR = 0.01  # of WER: counts as equal to recognition of the whole recording


@dataclass(frozen=True)
class Contest:
    """One figure of every family, and whether lower is better."""

    name: str
    values: dict[str, float]
    show: Callable[[float], str]
    least: bool = True

    @property
    def ranked(self) -> list[str]:
        """Families, best first; ties in the report's order."""
        return sorted(self.values, key=self._cost)

    def place(self, family: str) -> int:
        """1 for the best; equal figures share a place."""
        return 1 + sum(self._cost(other) < self._cost(family) for other in self.values)

    def _cost(self, family: str) -> float:
        return self.values[family] if self.least else -self.values[family]


def contests(results: Results) -> list[Contest]:
    """The figures by which families are compared."""
    accuracy, speed, partial = results.accuracy, results.speed, results.partial
    found = [
        Contest("WER", {f: accuracy[f].wer for f in accuracy}, percent),
        Contest("WER of causal families", {f: accuracy[f].wer for f in _present(results, CAUSAL)}, percent),
        *(
            Contest(f"WER with {minutes:g} min of speech", {f: own[f].wer for f in own}, percent)
            for minutes, own in results.less.items()
        ),
        Contest("WER of the small model", {f: own.wer for f, own in results.small.items()}, percent),
        Contest("WER of the longest recordings", {f: own.wer[-1] for f, own in results.length.items()}, percent),
        Contest("WER without look-ahead", {f: partial[f].wer[0] for f in partial}, percent),
        Contest(
            "seconds back at which the gradient is 1%",
            {f: _back(results, f) for f in results.reach},
            functools.partial(_reached, results),
            False,
        ),
        Contest("training speed", {f: speed[f].training_rate for f in speed}, _times, False),
        Contest("recognition speed", {f: speed[f].recognition_rate for f in speed}, _times, False),
        Contest(_longest(results, "training step"), {f: speed[f].step[-1] for f in speed}, _s),
        Contest(_longest(results, "training memory"), {f: speed[f].memory[-1] for f in speed}, _mb),
    ]
    return [contest for contest in found if contest.values]


def accuracy(results: Results) -> list[str]:
    """WER: the best family, and the gain from memory, gates and the second direction."""
    best, second = results.ranked[:2]
    aims = {"Memory": ("none",), "Gates": ("rnn", "gru")}
    compared = {aim: [versus(results, "lstm", f) for f in _present(results, others)] for aim, others in aims.items()}
    return [
        f"Lowest WER: {versus(results, best, second)}.",
        *(f"{aim}: {'; '.join(differences)}." for aim, differences in compared.items() if differences),
        f"The second direction: {versus(results, 'bilstm', 'lstm')}.",
    ]


def versus(results: Results, one: str, other: str) -> str:
    """Two WERs, and whether their difference is significant."""
    a, b = results.accuracy[one], results.accuracy[other]
    shown = f"{NAMES[one]} {percent(a.wer)} against {NAMES[other]} {percent(b.wer)}"
    interval = difference(a, b)
    if interval is None:
        return f"{shown}, identical in every utterance"
    low, high = (100 * value for value in interval)
    verdict = "not significant" if low <= 0 <= high else "significant"
    return f"{shown}, {verdict} (95% interval of the difference {low:+.2f} to {high:+.2f} points)"


def lstm(results: Results) -> list[str]:
    """Where the LSTM wins and where it does not."""
    own = [contest for contest in contests(results) if "lstm" in contest.values]
    won = [contest.name for contest in own if contest.place("lstm") == 1]
    lost = [f"{contest.name} ({NAMES[contest.ranked[0]]})" for contest in own if contest.place("lstm") > 1]
    return [f"The LSTM is best in: {_listed(won)}.", f"It does not win in: {_listed(lost)}."]


def parallelism(results: Results) -> list[str]:
    """Time by length."""
    speed = results.speed
    longest = max(next(iter(speed.values())).seconds)
    power = {f: growth(own.seconds, own.forward) for f, own in speed.items()}
    least, most = min(power, key=lambda f: power[f]), max(power, key=lambda f: power[f])
    gain = sorted(speed, key=lambda family: -speed[family].batch_gain)
    sentences = [
        f"The forward pass grows with a power of the length between {power[least]:.2f} ({NAMES[least]}) and "
        f"{power[most]:.2f} ({NAMES[most]})."
    ]
    for what, field in (("Recognition", "forward"), ("A training step", "step")):
        cost = {family: getattr(own, field)[-1] for family, own in speed.items()}
        fast, slow = min(cost, key=lambda f: cost[f]), max(cost, key=lambda f: cost[f])
        sentences.append(
            f"{what} of {longest:g} s of speech takes {NAMES[fast]} {_s(cost[fast])} and {NAMES[slow]} "
            f"{_s(cost[slow])}, {cost[slow] / cost[fast]:.1f} times as long."
        )
    gains = ", ".join(f"{NAMES[f]} {speed[f].batch_gain:.1f}" for f in gain)
    return [
        *sentences,
        f"Speed-up per utterance of a batch of {BATCH} utterances of {BATCH_UTTERANCE_SECONDS:g} s: {gains}.",
    ]


def memory(results: Results) -> list[str]:
    """Reach of the gradients, before and after training."""
    spans = {
        family: [farthest(own.seconds, sizes) for sizes in (own.untrained, own.trained)]
        for family, own in results.reach.items()
    }
    plain = _present(results, ONE_DIRECTION)
    falls = [f"{NAMES[f]} {_reached(results, spans[f][0][0])}, {_reached(results, spans[f][1][0])}" for f in plain]
    both = [
        f"{NAMES[f]} {_reached(results, back)}, {_reached(results, ahead)}" for f, (_, (back, ahead)) in spans.items()
    ]
    return [
        f"Going back in time, the gradient falls to 1% of its maximum after (untrained, trained): {'; '.join(falls)}.",
        f"All families, trained (back, ahead): {'; '.join(both)}.",
    ]


def length(results: Results) -> list[str]:
    """WER by length of the recording."""
    ratios = {f: own.wer[-1] - own.wer[0] for f, own in results.length.items()}
    short, long = (np.mean([own.seconds[end] for own in results.length.values()]) for end in (0, -1))
    order = sorted(ratios, key=lambda family: ratios[family])
    return [
        f"From recordings of {short:.1f} s to {long:.1f} s with the same words, WER changes by (points) "
        + ", ".join(f"{NAMES[f]} {100 * ratios[f]:+.2f}" for f in order)
        + "."
    ]


def exploding(results: Results) -> list[str]:
    """The effect of clipping at a learning rate that is too high."""
    broken = [NAMES[f] for f, own in results.free.items() if own.broken]
    still = [NAMES[f] for f, own in results.clipped.items() if own.broken]
    better = [NAMES[f] for f in results.free if end_loss(results.clipped[f]) < end_loss(results.free[f])]
    steepest = max(results.free, key=lambda family: max(results.free[family].norm))
    return [
        f"Without clipping the loss becomes NaN or infinite in: {_listed(broken)}; with clipping in: {_listed(still)}.",
        f"The largest gradient norm is {max(results.free[steepest].norm):.2g} ({NAMES[steepest]}); in the run with "
        f"clipping it never exceeds {max(results.clipped[steepest].norm):.2g} before clipping.",
        f"Clipping leads to a lower loss in {len(better)} of {len(results.free)} families: {_listed(better)}.",
    ]


def end_loss(run: Excursion) -> float:
    """Mean loss over the last fifth of a run; infinite if the loss broke."""
    return math.inf if run.broken else float(np.mean(run.loss[-max(1, len(run.loss) // 5) :]))


def partial(results: Results) -> list[str]:
    """Partial hypotheses."""
    back = ", ".join(f"{NAMES[f]} {own.taken_back:.2f}" for f, own in results.partial.items())
    sentences = [f"Revised words per word of the final text: {back}."]
    for family, own in results.partial.items():
        if family in CAUSAL:
            continue
        enough = [look for look, wer in zip(own.looks, own.wer, strict=True) if wer <= own.whole_wer + NEAR]
        waits = f"{_s(enough[0])} of look-ahead" if enough else f"more than the {_s(own.looks[-1])} of look-ahead tried"
        sentences.append(
            f"{NAMES[family]}: WER {percent(own.wer[0])} without look-ahead, {percent(own.whole_wer)} with the whole "
            f"recording; coming within a point of that takes {waits}."
        )
    best = min(_present(results, CAUSAL), key=lambda family: results.partial[family].whole_wer)
    sentences.append(
        f"{NAMES[best]} is the best causal family: WER {percent(results.partial[best].whole_wer)}, without look-ahead."
    )
    return sentences


def little(results: Results) -> list[str]:
    """Small data, small models."""
    sentences = []
    for minutes, own in results.less.items():
        order = sorted(own, key=lambda family: own[family].wer)
        sentences.append(
            f"{minutes:g} min of speech: " + ", ".join(f"{NAMES[f]} {percent(own[f].wer)}" for f in order) + "."
        )
    if results.small:
        order = sorted(results.small, key=lambda family: results.small[family].wer)
        sentences.append(
            f"About {results.small[order[0]].parameters:,} parameters instead of "
            f"{results.accuracy[order[0]].parameters:,}: "
            + ", ".join(f"{NAMES[f]} {percent(results.small[f].wer)}" for f in order)
            + "."
        )
    first = {results.ranked[0], *(min(own, key=lambda f: own[f].wer) for own in results.less.values())}
    sentences.append(
        "The same family is best at every amount of speech."
        if len(first) == 1
        else "Which family is best depends on the amount of speech."
    )
    return sentences


def _present(results: Results, families: Sequence[str]) -> list[str]:
    """Those of the families that were compared."""
    return [family for family in families if family in results.accuracy]


def _back(results: Results, family: str) -> float:
    reach = results.reach[family]
    return farthest(reach.seconds, reach.trained)[0]


def _reached(results: Results, seconds: float) -> str:
    """How far a gradient reaches; it was followed only so far."""
    most = max(results.reach["lstm"].seconds)
    return f"more than {most:.1f} s" if seconds >= most - results.frame_seconds else f"{seconds:.2f} s"


def _longest(results: Results, what: str) -> str:
    return f"{what} of {max(next(iter(results.speed.values())).seconds):g} s"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _s(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _times(rate: float) -> str:
    return f"{rate:,.0f} s/s"
