"""Two systems on one test set: the difference in word error rate, and whether it is significant."""

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from asr.data.manifest import Utterance
from asr.errors import ScoreError, one_line
from asr.evaluation.alignment import COSTS, AlignedWord, ErrorCounts, Scored, score
from asr.evaluation.bootstrap import Interval, draw_rates
from asr.evaluation.config import Alignment
from asr.evaluation.terminal import STYLES, columns_text, costs_text, percent
from asr.text.config import TextConfig
from asr.transcript import Transcript
from asr.utils.files import read_text
from asr.utils.html import render

ROUNDS = 10_000  # of the bootstrap
BUFFER = 2  # words that both systems have correct between two segments, as in sclite
FEWEST_SEGMENTS = 50  # with fewer, the normal approximation is rough (Gillick & Cox 1989)
SIGNIFICANT = 0.05
MOST_ON_PAGE = 100  # utterances of each kind


@dataclass(frozen=True)
class System:
    """One of the two, and its errors in the utterances that both reports have."""

    report: Path
    model: str
    decoder: str
    words: ErrorCounts


@dataclass(frozen=True)
class Column:
    """A word of the reference (empty for an insertion), and each system's word there."""

    reference: str
    first: str
    second: str

    @property
    def kinds(self) -> tuple[str, str]:
        """Each system's `AlignedWord.kind`; where only the other inserts a word, it is 'equal'."""
        return AlignedWord(self.reference, self.first).kind, AlignedWord(self.reference, self.second).kind

    @property
    def right(self) -> bool:
        """Whether both are correct."""
        return self.kinds == ("equal", "equal")

    @property
    def mark(self) -> str:
        """Which systems are wrong: "A", "B", "AB" or ""."""
        wrong = [name for name, kind in zip("AB", self.kinds, strict=True) if kind != "equal"]
        return "".join(wrong)


@dataclass(frozen=True)
class Compared:
    """One utterance, with the errors of both systems."""

    id: str
    speaker: str
    columns: tuple[Column, ...]
    reference_words: int
    errors: tuple[int, int]  # of the first system and the second

    @property
    def gain(self) -> int:
        """How many errors fewer the second system makes."""
        return self.errors[0] - self.errors[1]


@dataclass(frozen=True)
class SegmentTest:
    """The matched-pairs sentence-segment word error test; see `matched_pairs`."""

    segments: int
    mean: float  # errors per segment that the second system makes fewer; NaN with fewer than two segments
    deviation: float  # of that, over the segments
    z: float
    p: float  # two-tailed


@dataclass(frozen=True)
class Comparison:
    """Two systems, A and B. Rates are fractions; differences are B's minus A's: below 0, B is better."""

    first: System
    second: System
    utterances: tuple[Compared, ...]
    left_out: tuple[str, ...]  # ids that only one report has
    alignment: Alignment
    interval: Interval | None  # 95%, of the difference in WER
    over: str  # what the bootstrap draws: "speakers" or "utterances"
    wins: float  # share of its rounds in which B has the lower WER; NaN without an interval
    test: SegmentTest
    caveats: tuple[str, ...]

    @property
    def difference(self) -> float:
        """B's WER minus A's."""
        return self.second.words.rate - self.first.words.rate

    @property
    def better(self) -> list[Compared]:
        """Utterances in which B makes fewer errors, the largest gain first."""
        return sorted((item for item in self.utterances if item.gain > 0), key=lambda item: (-item.gain, item.id))

    @property
    def worse(self) -> list[Compared]:
        """Utterances in which B makes more errors, the largest loss first."""
        return sorted((item for item in self.utterances if item.gain < 0), key=lambda item: (item.gain, item.id))

    @property
    def verdict(self) -> str:
        """The result of the test in words."""
        if math.isnan(self.test.p):
            return "no verdict: too few segments with errors"
        if self.test.p >= SIGNIFICANT:
            return f"no significant difference (p = {self.test.p:.3f})"
        p = f"p = {self.test.p:.3f}" if self.test.p >= 0.001 else "p < 0.001"
        return f"{'B' if self.test.mean > 0 else 'A'} is better ({p})"


def compare(first: Path, second: Path) -> Comparison:
    """Compare two `report.json` files of `asr evaluate` or `asr score` on the same test set.

    The interval of the difference in WER is a paired bootstrap (Bisani & Ney 2004): utterances, or speakers if at
    least two are known, are drawn with replacement, and both systems are scored on the same draw. Raises `ScoreError`
    if the reports have different references, normalizers or alignments.
    """
    reports = [_read(path) for path in (first, second)]
    _check_same(first, second, *reports)
    alignment = _alignment(reports[0])
    scored = [_scored(path, report, alignment) for path, report in zip((first, second), reports, strict=True)]
    common = [id for id in scored[0] if id in scored[1]]
    if not common:
        raise ScoreError(f"{first} and {second} have no utterance in common; give two reports of one test set")
    pairs = [(scored[0][id], scored[1][id]) for id in common]
    for one, other in pairs:
        if one.reference != other.reference:
            raise ScoreError(
                f"{first} and {second} have different references of '{one.utterance.id}' ('{one.reference}' and "
                f"'{other.reference}'); give two reports of one test set"
            )
    compared = tuple(_compare(one, other) for one, other in pairs)
    speakers = [item.speaker or ("utterance", item.id) for item in compared]
    by_speaker = len({item.speaker for item in compared if item.speaker}) > 1
    interval, wins = _bootstrap(compared, speakers if by_speaker else None)
    system_a, system_b = (
        System(path, report["model"], report["decoder"], ErrorCounts.total(pair[side].words for pair in pairs))
        for side, (path, report) in enumerate(zip((first, second), reports, strict=True))
    )
    return Comparison(
        system_a,
        system_b,
        utterances=compared,
        left_out=tuple(sorted(scored[0].keys() ^ scored[1].keys())),
        alignment=alignment,
        interval=interval,
        over="speakers" if by_speaker else "utterances",
        wins=wins,
        test=matched_pairs([difference for item in compared for difference in segment(item.columns)]),
        caveats=tuple(dict.fromkeys(caveat for report in reports for caveat in report.get("caveats", ()))),
    )


def segment(columns: Sequence[Column]) -> list[int]:
    """Errors of A minus errors of B in each segment of an utterance.

    Segments lie between runs of at least `BUFFER` words that both systems have correct, or the ends of the utterance:
    errors in different segments are assumed to be independent.
    """
    segments: list[list[Column]] = [[]]
    right = BUFFER  # words in a row
    for column in columns:
        if column.right:
            right += 1
            continue
        if right >= BUFFER:
            segments.append([])
        segments[-1].append(column)
        right = 0
    errors = [np.sum([[kind != "equal" for kind in column.kinds] for column in part], axis=0) for part in segments[1:]]
    return [int(first - second) for first, second in errors]


def matched_pairs(differences: Sequence[int]) -> SegmentTest:
    """The matched-pairs test of Gillick & Cox (1989, ICASSP), as in NIST's sclite ("MAPSSWE", Pallett et al. 1990).

    Under the null hypothesis the mean of the differences is 0, and for many segments the mean over its standard error,
    `z = mean / (deviation / sqrt(segments))`, is standard normal.
    """
    count = len(differences)
    if count < 2:
        return SegmentTest(count, math.nan, math.nan, math.nan, math.nan)
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    same = math.copysign(math.inf, mean) if mean else 0.0  # if all segments have the same difference
    z = mean / (deviation / math.sqrt(count)) if deviation else same
    return SegmentTest(count, mean, deviation, z, math.erfc(abs(z) / math.sqrt(2)))


def merge(first: Sequence[AlignedWord], second: Sequence[AlignedWord]) -> list[Column]:
    """Two alignments with the same reference as one; insertions at the same place share a column."""
    columns: list[Column] = []
    at = [0, 0]
    alignments = (first, second)
    while any(at[side] < len(alignments[side]) for side in (0, 1)):
        extra = ["", ""]
        for side in (0, 1):
            if at[side] < len(alignments[side]) and not alignments[side][at[side]].reference:
                extra[side] = alignments[side][at[side]].hypothesis
                at[side] += 1
        if any(extra):
            columns.append(Column("", *extra))
            continue
        one, other = first[at[0]], second[at[1]]
        columns.append(Column(one.reference, one.hypothesis, other.hypothesis))
        at = [at[0] + 1, at[1] + 1]
    return columns


def comparison_text(comparison: Comparison, examples: int, width: int = 100) -> Text:
    """The comparison for a terminal, with `examples` utterances in which B is better, and as many in which A is."""
    interval = ""
    if comparison.interval:
        low, high = (f"{100 * rate:+.2f}" for rate in comparison.interval)
        interval = (
            f" (95% interval {low} to {high}, over {comparison.over}); B is better in {comparison.wins:.1%} of draws"
        )
    equal = len(comparison.utterances) - len(comparison.better) - len(comparison.worse)
    lines = [
        f"A            {percent(comparison.first.words.rate)}  {_name(comparison.first)}",
        f"B            {percent(comparison.second.words.rate)}  {_name(comparison.second)}",
        f"difference   {100 * comparison.difference:+.2f} points of WER{interval}",
        f"MAPSSWE      {comparison.verdict}; {segments_text(comparison.test)}",
        f"alignment    {costs_text(comparison.alignment)}",
        f"utterances   {len(comparison.better)} better in B, {len(comparison.worse)} worse, {equal} equal",
        *(f"NOTE         {note}" for note in notes(comparison)),
    ]
    text = Text("\n".join(lines) + "\n")
    for title, items in (("better in B", comparison.better), ("worse in B", comparison.worse)):
        for item in items[:examples]:
            text.append(f"\n{title}: {one_line(item.id)}, {item.errors[0]} -> {item.errors[1]} errors\n", "bold")
            text.append_text(columns_text(("reference", "A", "B", "wrong"), map(_cells, item.columns), width))
    return text


def segments_text(test: SegmentTest) -> str:
    """The figures of the test: `3 segments, B makes 0.333 errors fewer per segment, z = 0.58`; without NaN."""
    text = f"{test.segments} segment{'s' if test.segments != 1 else ''}"
    if math.isnan(test.mean):
        return text
    change = f"{abs(test.mean):.3f} errors {'more' if test.mean < 0 else 'fewer'} per segment"
    return f"{text}, B makes {change}, z = {test.z:.2f}"


def comparison_page(comparison: Comparison) -> str:
    """The comparison as one self-contained HTML page without scripts."""
    edges = (0.0, comparison.difference, *(comparison.interval or ()))
    low, high = min(edges), max(edges)
    scale = 90 / (high - low or 1)  # percent of the strip's width; the rest is its margins
    return render(
        "comparison.html.j2",
        comparison=comparison,
        notes=notes(comparison),
        buffer=BUFFER,
        most=MOST_ON_PAGE,
        place=lambda rate: f"{5 + scale * (rate - low):.2f}%",
        width=lambda interval: f"{scale * (interval[1] - interval[0]):.2f}%",
        percent=percent,
        costs=costs_text(comparison.alignment),
        test=segments_text(comparison.test),
    )


def notes(comparison: Comparison) -> list[str]:
    """What belongs beside the result wherever it is quoted."""
    found = list(comparison.caveats)
    if comparison.left_out:
        count = len(comparison.left_out)
        found.append(f"{count} utterances, such as '{comparison.left_out[0]}', are in only one report and left out")
    if comparison.test.segments < FEWEST_SEGMENTS:
        found.append(f"fewer than {FEWEST_SEGMENTS} segments with errors: p is approximate")
    return found


def _name(system: System) -> str:
    return f"{system.model}, {system.decoder}: {system.report}"


def _cells(column: Column) -> list[tuple[str, str]]:
    first, second = column.kinds
    shown = [(column.first or "***", STYLES[first]), (column.second or "***", STYLES[second])]
    return [(column.reference or "***", ""), *shown, (column.mark, "bold")]


def _read(path: Path) -> dict[str, Any]:
    text = read_text(path, ScoreError, "give the report.json of `asr evaluate` or `asr score`")
    try:
        report = json.loads(text)
        if not isinstance(report, dict) or not {"model", "decoder", "normalizer", "utterances"} <= report.keys():
            raise ValueError("fields are missing")
    except ValueError as error:
        raise ScoreError(f"{path}: not the report.json of `asr evaluate` or `asr score` ({error})") from error
    return report


def _check_same(first: Path, second: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    for key, default in (("normalizer", None), ("replace", None), ("alignment", "levenshtein")):
        values = one.get(key, default), other.get(key, default)
        if values[0] != values[1]:
            raise ScoreError(f"{first} has {key} {values[0]!r}, {second} {values[1]!r}: score both in the same way")


def _alignment(report: dict[str, Any]) -> Alignment:
    """The alignment of a report's words; older reports lack it and use the fewest errors."""
    alignment = report.get("alignment", "levenshtein")
    if alignment not in COSTS:
        raise ScoreError(f"unknown alignment {alignment!r} in a report; it is one of {', '.join(COSTS)}")
    return alignment


def _scored(path: Path, report: dict[str, Any], alignment: Alignment) -> dict[str, Scored]:
    """The utterances of a report, aligned again; both sides are normalised already."""
    try:
        pairs = [
            (
                Utterance(item["id"], Path(), 0.0, item["reference"], item["speaker"]),
                Transcript(item["hypothesis"], (), 0),
            )
            for item in report["utterances"]
        ]
    except (KeyError, TypeError) as error:
        raise ScoreError(f"{path}: its utterances are not those of an `asr` report ({error!r})") from error
    return {item.utterance.id: item for item in score(pairs, TextConfig(normalizer="nfc"), alignment)}


def _compare(first: Scored, second: Scored) -> Compared:
    return Compared(
        first.utterance.id,
        first.utterance.speaker,
        tuple(merge(first.alignment, second.alignment)),
        first.words.reference,
        (first.words.errors, second.words.errors),
    )


def _bootstrap(items: Iterable[Compared], groups: Sequence[Hashable] | None) -> tuple[Interval | None, float]:
    items = list(items)
    draws = draw_rates([-item.gain for item in items], [item.reference_words for item in items], groups, 0, ROUNDS)
    if draws is None:
        return None, math.nan
    low, high = np.percentile(draws, [2.5, 97.5])
    return (float(low), float(high)), float((draws < 0).mean() + (draws == 0).mean() / 2)
