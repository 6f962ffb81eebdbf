"""Words with times -> subtitles that players and guidelines accept.

The limits are those of the Netflix Timed Text Style Guide (English; the BBC's and Karamitroglou 1998 are similar): at
most two lines of 42 columns, 7 s, and 20 characters per second. A subtitle stays on the screen as long as reading it
takes, but no longer than until two frames before the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rich.cells import cell_len

from asr.transcript import Transcript, Word, ends_sentence

LINE_COLUMNS = 42  # wide characters count as two
LINES = 2
LONGEST = 7.0  # seconds
SHORTEST = 1.0  # seconds
READING_SPEED = 20.0  # columns per second
GAP = 2 / 24  # seconds, two frames, without a subtitle before the next one
PAUSE = 1.0  # seconds; a cut at a pause this long costs nothing: subtitles then follow the phrases
SENTENCE = 1.0  # what a cut at the end of a sentence costs less


@dataclass(frozen=True)
class Subtitle:
    """Some words in one or two lines, and when to show them, which may be longer than its last word lasts."""

    lines: tuple[str, ...]
    start: float  # seconds
    end: float  # seconds
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(self.lines)


def make_subtitles(transcript: Transcript) -> list[Subtitle]:
    """The words of a transcript as subtitles, in order and never two at once; none for an empty transcript.

    A word wider than a line, as in a language written without spaces, is cut into parts that share its time evenly.
    """
    words = [part for word in transcript.words for part in _parts(word)]
    cuts = _cuts(words, cell_len(transcript.separator))
    subtitles = []
    for first, after in pairwise(cuts):
        chosen = words[first:after]
        following = words[after].start if after < len(words) else float("inf")
        start, lines = chosen[0].start, _lines(chosen, transcript.join)
        stay = min(start + reading_seconds(sum(map(cell_len, lines))), following - GAP)
        end = min(max(chosen[-1].end, stay), start + LONGEST, following)
        subtitles.append(Subtitle(lines, start, end, tuple(chosen)))
    return subtitles


def reading_seconds(columns: int) -> float:
    """Seconds that a subtitle of this many columns should stay."""
    return max(SHORTEST, columns / READING_SPEED)


def _parts(word: Word) -> list[Word]:
    """A word that fits on a line, or the parts of a wider one."""
    if cell_len(word.text) <= LINE_COLUMNS:
        return [word]
    texts = [""]
    for character in word.text:
        if cell_len(texts[-1] + character) > LINE_COLUMNS:
            texts.append("")
        texts[-1] += character
    step, parts, start = (word.end - word.start) / len(word.text), [], word.start
    for text in texts:
        parts.append(replace(word, text=text, start=round(start, 3), end=round(start + step * len(text), 3)))
        start += step * len(text)
    return parts


def _cuts(words: Sequence[Word], separator: int) -> list[int]:
    """The first word of each subtitle, and the number of words: the cheapest way to cut them (dynamic programming).

    Each subtitle costs 1, so that there are few; its fullness squared, so that they are of similar length; and the
    seconds that are missing for reading it. A cut at a pause costs that much less, by the share of `PAUSE`, and one at
    the end of a sentence by `SENTENCE`.
    """
    count = len(words)
    costs, before = [0.0] + [float("inf")] * count, [0] * (count + 1)
    for first in range(count):
        line, used, columns = 1, -separator, -separator
        for last in range(first, count):
            width = separator + cell_len(words[last].text)
            columns += width
            used += width
            if used > LINE_COLUMNS:
                line, used = line + 1, width - separator
            if last > first and (line > LINES or words[last].end - words[first].start > LONGEST):
                break
            cost = costs[first] + 1 + (columns / (LINES * LINE_COLUMNS)) ** 2
            if last + 1 < count:
                following = words[last + 1].start
                shown = max(words[last].end, following - GAP) - words[first].start
                cost += max(0.0, reading_seconds(columns) - shown)
                cost -= max(0.0, following - words[last].end) / PAUSE + SENTENCE * ends_sentence(words[last].text)
            if cost < costs[last + 1]:
                costs[last + 1], before[last + 1] = cost, first
    cuts = [count]
    while cuts[-1]:
        cuts.append(before[cuts[-1]])
    return cuts[::-1]


def _lines(words: Sequence[Word], join: Callable[[Sequence[Word]], str]) -> tuple[str, ...]:
    """One line, or two of lengths as similar as possible, the upper one the shorter."""
    if cell_len(join(words)) <= LINE_COLUMNS:
        return (join(words),)
    pairs = [(join(words[:cut]), join(words[cut:])) for cut in range(1, len(words))]
    return min(pairs, key=lambda pair: (max(map(cell_len, pair)), cell_len(pair[0])))
