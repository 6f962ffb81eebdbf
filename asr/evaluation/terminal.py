"""The evaluation for a terminal: figures, and alignments word by word."""

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from asr.errors import one_line
from asr.evaluation.alignment import COSTS, Scored
from asr.evaluation.config import Alignment
from asr.evaluation.metrics import Evaluation
from asr.utils.messages import time_text

MARKS = {"equal": " ", "substitution": "S", "deletion": "D", "insertion": "I"}
ROW_HEAD = 13  # columns before the words of an alignment
STYLES = {"equal": "", "substitution": "bold yellow", "deletion": "bold magenta", "insertion": "bold cyan"}


def summary_text(evaluation: Evaluation) -> str:
    """The result for a terminal, in plain lines."""
    words, characters, interval = evaluation.words, evaluation.characters, ""
    if evaluation.interval:
        over = "speakers" if evaluation.speaker_interval else "utterances"
        interval = f" (95% interval {' to '.join(map(percent, evaluation.interval))}, over {over})"
    lines = [
        f"WER          {percent(words.rate)}{interval}",
        f"CER          {percent(characters.rate)}",
        f"errors       {words.substitutions} substitutions, {words.deletions} deletions, "
        f"{words.insertions} insertions in {words.reference} reference words",
        f"alignment    {costs_text(evaluation.alignment)}",
    ]
    seconds = f", {time_text(evaluation.audio_seconds)}" if evaluation.audio_seconds else ""
    lines.append(f"audio        {len(evaluation.scored)} utterances{seconds}")
    if not math.isnan(evaluation.real_time_factor):
        lines.append(f"RTF          {evaluation.real_time_factor:.3f} (seconds of computing per second of audio)")
    ranked = [f"{percent(group.words.rate)} ({group.name})" for group in evaluation.speakers if group.words.reference]
    if ranked:
        lines.append(f"speakers     {evaluation.speaker_count}, from {ranked[-1]} to {ranked[0]}")
    lines.append(f"decoder      {evaluation.decoder}")
    lines.append(f"normalizer   {evaluation.text.normalizer}{' and replacements' if evaluation.text.replace else ''}")
    lines += [f"NOTE         {caveat}" for caveat in evaluation.caveats]
    lines += [f"             {id}: {reason}" for id, reason in evaluation.failures[:5]]
    if len(evaluation.failures) > 5:
        lines.append(f"             and {len(evaluation.failures) - 5} more")
    return "\n".join(map(one_line, lines))


def costs_text(alignment: Alignment) -> str:
    """An alignment's name and costs: `levenshtein (costs: substitution 1, deletion 1, insertion 1)`."""
    substitution, deletion, insertion = COSTS[alignment]
    return f"{alignment} (costs: substitution {substitution}, deletion {deletion}, insertion {insertion})"


def alignment_text(scored: Scored, width: int = 100) -> Text:
    """One aligned utterance for a terminal, with errors coloured and marked S, D or I.

    Lines break at `width` columns (wide characters count as two):

        reference    the edison  lamp ***
        hypothesis   the addison lamp glows
                         S            I
    """
    columns = [
        [(text, STYLES[word.kind]) for text in (word.reference or "***", word.hypothesis or "***", MARKS[word.kind])]
        for word in scored.alignment
    ]
    return columns_text(("reference", "hypothesis", ""), columns, width)


def columns_text(heads: Sequence[str], columns: Iterable[Sequence[tuple[str, str]]], width: int) -> Text:
    """Rows of aligned words that break at `width` columns; each of `columns` has a (word, style) per row."""
    heads = [Text(head.ljust(ROW_HEAD)) for head in heads]
    text, rows, used = Text(), [head.copy() for head in heads], ROW_HEAD
    for cells in columns:
        size = max(cell_len(cell) for cell, _ in cells) + 1
        if used > ROW_HEAD and used + size > width:
            text.append_text(_join(rows))
            rows, used = [head.copy() for head in heads], ROW_HEAD
        used += size
        for row, (cell, style) in zip(rows, cells, strict=True):
            row.append(cell, style)
            row.append(" " * (size - cell_len(cell)))
    return text.append_text(_join(rows))


def percent(rate: float) -> str:
    """A rate as text: `12.34%`; `n/a` for NaN."""
    return "n/a" if math.isnan(rate) else f"{100 * rate:.2f}%"


def _join(rows: Iterable[Text]) -> Text:
    for row in rows:
        row.rstrip()
    return Text("\n").join(rows).append("\n")
