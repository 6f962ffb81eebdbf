"""The evaluation as files: JSON for programs, Markdown for repositories, one self-contained HTML page for readers."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from asr.evaluation.alignment import ErrorCounts, Scored
from asr.evaluation.bootstrap import Interval
from asr.evaluation.calibration import Calibration
from asr.evaluation.metrics import KINDS, UNKNOWN_SPEAKER, Evaluation, Group
from asr.evaluation.rejection import Rejection
from asr.evaluation.terminal import MARKS, costs_text, percent
from asr.text.tokenizer import BLANK
from asr.transcript import Word
from asr.utils.files import write_atomically
from asr.utils.html import render, spectrogram_png
from asr.utils.messages import time_text

WORST = 20  # utterances shown with their errors
CONFUSIONS = 15  # of each kind that are shown; report.json has 50
MOST_SPEAKERS = 40  # shown as bars; with more, the worst and best 10 and a histogram
PAGE_WIDTH = 1040  # pixels of a picture that fits the page
LEAST_PROBABILITY = 0.02  # posteriors below it are not drawn


@dataclass(frozen=True)
class Emission:
    """The network's input and output for one utterance, for a picture."""

    utterance: str  # id
    reference: str
    hypothesis: str
    log_mel: np.ndarray  # (frames, mels)
    log_probabilities: np.ndarray  # (output frames, tokens), natural logarithm
    pieces: Sequence[str]  # text of each token; index 0 is the blank
    hop_seconds: float  # from one log-mel frame to the next
    frame_seconds: float  # from one output frame to the next
    words: Sequence[Word]


def write_report(folder: Path, evaluation: Evaluation, pictures: Sequence[Emission] = ()) -> list[Path]:
    """Write `report.json`, `report.md` and `report.html` into `folder`, each atomically.

    The page is self-contained: `pictures` are drawn into it. Raises `OSError` if the folder is not writable.
    """
    folder = Path(folder)
    return [
        write_atomically(folder / "report.json", json_report(evaluation)),
        write_atomically(folder / "report.md", markdown_report(evaluation)),
        write_atomically(folder / "report.html", html_report(evaluation, pictures)),
    ]


def json_report(evaluation: Evaluation) -> bytes:
    """The evaluation as JSON, with every utterance so that two systems can be compared."""
    values = {
        "model": evaluation.model,
        "manifests": evaluation.manifests,
        "date": evaluation.date.isoformat(timespec="seconds"),
        "decoder": evaluation.decoder,
        "normalizer": evaluation.text.normalizer,
        "replace": evaluation.text.replace,
        "alignment": evaluation.alignment,
        "complete": evaluation.complete,
        "caveats": evaluation.caveats,
        "synthetic_utterances": evaluation.synthetic_utterances,
        "wer": _rate(evaluation.words),
        "wer_interval_over_speakers": evaluation.speaker_interval,
        "wer_interval_over_utterances": evaluation.utterance_interval,
        "cer": _rate(evaluation.characters),
        "audio_seconds": evaluation.audio_seconds,
        "compute_seconds": evaluation.compute_seconds,
        "real_time_factor": evaluation.real_time_factor,
        "speakers": [_group(group) for group in evaluation.speakers],
        "durations": [_group(group) for group in evaluation.durations],
        "confusions": {kind: [str(confusion) for confusion in evaluation.most_confused(kind, 50)] for kind in KINDS},
        "calibration": dataclasses.asdict(evaluation.calibration) if evaluation.calibration else None,
        "rejection": dataclasses.asdict(evaluation.rejection) if evaluation.rejection else None,
        "segment_calibration": (
            dataclasses.asdict(evaluation.segment_calibration) if evaluation.segment_calibration else None
        ),
        "failures": [{"id": id, "reason": reason} for id, reason in evaluation.failures],
        "utterances": [_utterance(item) for item in evaluation.scored],
    }
    return msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"


def markdown_report(evaluation: Evaluation) -> str:
    """The evaluation as Markdown, to keep beside a model and read in a repository."""
    blocks = [
        f"# {_escape(evaluation.model)} on {_escape(', '.join(evaluation.manifests))}",
        *(f"> **Note:** {_escape(caveat)}." for caveat in evaluation.caveats),
        _table(("figure", "value"), _figures(evaluation)),
    ]
    for title, groups in (("speaker", evaluation.speakers), ("duration", evaluation.durations)):
        rows = [(group.name, percent(group.words.rate), group.utterances, time_text(group.seconds)) for group in groups]
        if rows:
            blocks += [f"## WER by {title}", _table((title, "WER", "utterances", "audio"), rows[:MOST_SPEAKERS])]
        if len(rows) > MOST_SPEAKERS:
            blocks.append(f"The worst {MOST_SPEAKERS} of {len(rows)}; all are in report.json.")
    for kind in KINDS:
        rows = [(confusion.word, confusion.count) for confusion in evaluation.most_confused(kind, CONFUSIONS)]
        if rows:
            blocks += [f"## Most frequent {kind}s", _table(("reference -> hypothesis", "count"), rows)]
    if evaluation.calibration:
        blocks += ["## Confidence", *_confidence(evaluation.calibration, "words")]
    if evaluation.segment_calibration:
        blocks += ["## Confidence of segments", *_confidence(evaluation.segment_calibration, "segments")]
    if evaluation.rejection:
        blocks += ["## Rejection", *_rejection(evaluation.rejection)]
    if evaluation.failures:
        blocks += ["## Not recognised", _table(("utterance", "reason"), evaluation.failures)]
    return "\n\n".join(blocks) + "\n"


def _figures(evaluation: Evaluation) -> list[tuple[str, Any]]:
    """The rows of the first table."""
    words, characters = evaluation.words, evaluation.characters
    intervals = [
        (f"WER, 95% interval over {over}", " to ".join(map(percent, interval)))
        for over, interval in (("speakers", evaluation.speaker_interval), ("utterances", evaluation.utterance_interval))
        if interval
    ]
    return [
        ("WER", percent(words.rate)),
        *intervals,
        ("CER", percent(characters.rate)),
        ("substitutions", words.substitutions),
        ("deletions", words.deletions),
        ("insertions", words.insertions),
        ("reference words", words.reference),
        ("alignment", costs_text(evaluation.alignment)),
        ("utterances", len(evaluation.scored)),
        ("speakers", evaluation.speaker_count or "unknown"),
        ("audio", time_text(evaluation.audio_seconds) if evaluation.audio_seconds else "unknown"),
        ("real-time factor (RTF)", figure(evaluation.real_time_factor, 3)),
        ("decoder", evaluation.decoder),
        ("normalizer", evaluation.text.normalizer),
        ("replacements", ", ".join(f"{old} -> {new}" for old, new in evaluation.text.replace.items()) or "none"),
        ("not recognised", len(evaluation.failures)),
        ("date", f"{evaluation.date:%Y-%m-%d}"),
    ]


def _confidence(calibration: Calibration, unit: str) -> Iterator[str]:
    """The calibration of words or segments as blocks of Markdown."""
    yield (
        f"Expected calibration error {percent(calibration.expected_error)}, "
        f"normalised cross entropy {figure(calibration.cross_entropy)}, over {calibration.words} recognised {unit}."
    )
    rows = [
        (f"{each.low:.1f} to {each.high:.1f}", each.words, figure(each.confidence), percent(each.correct))
        for each in calibration.bins
        if each.words
    ]
    yield _table(("confidence", unit, "mean", "correct"), rows)
    if calibration.left_out:
        yield f"{left_out(calibration)}."


def _rejection(rejection: Rejection) -> Iterator[str]:
    """The thresholds as blocks of Markdown."""
    yield (
        f"Words below a confidence (`--reject`) are left out. Of {rejection.inside} correct words, the false rejects "
        f"would be missing. Of {rejection.outside} words outside the vocabulary, imitated by removing each word from "
        "the lexicon in turn, the false accepts would be taken for another word."
    )
    rows = [(figure(t.confidence), percent(t.false_rejects), percent(t.false_accepts)) for t in rejection.thresholds]
    yield _table(("--reject", "false rejects", "false accepts"), rows)


def left_out(calibration: Calibration) -> str:
    """The utterances that the calibration does not cover, as text."""
    count = calibration.left_out
    return f"{count} utterance{'s' if count != 1 else ''} left out, where normalisation joins, splits or drops words"


def figure(value: float, digits: int = 2) -> str:
    """A number as text: `0.12`; `n/a` for NaN."""
    return "n/a" if math.isnan(value) else f"{value:.{digits}f}"


def html_report(evaluation: Evaluation, pictures: Sequence[Emission] = ()) -> str:
    """The evaluation as one self-contained HTML page without scripts; all text in it is escaped."""
    filters: dict[str, Callable] = {
        "percent": percent,
        "time_text": time_text,
        "tick": _tick,
        "share": _share,
        "span": _span,
    }
    intervals = [("speakers", evaluation.speaker_interval), ("utterances", evaluation.utterance_interval)]
    intervals = [(over, interval) for over, interval in intervals if interval]
    speaker_top = _bars_top(evaluation.speakers)
    return render(
        "report.html.j2",
        {**filters, "figure": figure},
        evaluation=evaluation,
        intervals=intervals,
        top=_top([evaluation.words.rate, *(high for _, (_, high) in intervals)]),
        parts=_parts(evaluation.words),
        crowded=len(evaluation.speakers) > MOST_SPEAKERS,
        speaker_top=speaker_top,
        histogram=histogram(evaluation.speakers, speaker_top),
        duration_top=_bars_top(evaluation.durations),
        confusions={kind: evaluation.most_confused(kind, CONFUSIONS) for kind in KINDS},
        worst=evaluation.worst(WORST),
        left_out=left_out,
        pictures=[draw(emission) for emission in pictures],
        marks=MARKS,
        costs=costs_text(evaluation.alignment),
    )


def histogram(speakers: Sequence[Group], top: float, bins: int = 20) -> list[int]:
    """The number of known speakers by WER, in equal bins from 0 to `top`; the last bin includes higher WERs."""
    rates = [group.words.rate for group in speakers if group.name != UNKNOWN_SPEAKER and group.words.reference]
    return np.histogram(np.clip(rates, 0, top), bins, (0, top))[0].tolist()


def draw(emission: Emission) -> dict[str, Any]:
    """A picture as numbers for the template: x in pixels along time, y as a share of the height.

    The spectrogram is a PNG; the posteriors (Graves et al. 2006, figure 1) are areas, labelled at their peaks.
    """
    probabilities = np.exp(np.asarray(emission.log_probabilities, dtype=np.float64))  # (output frames, tokens)
    seconds = max(len(emission.log_mel) * emission.hop_seconds, len(probabilities) * emission.frame_seconds)
    scale = min(max(PAGE_WIDTH / seconds, 150), 400)  # pixels per second: labels must not touch in a long utterance
    return {
        "emission": emission,
        "width": seconds * scale,
        "seconds": seconds,
        "scale": scale,
        "image": spectrogram_png(emission.log_mel),
        "image_width": len(emission.log_mel) * emission.hop_seconds * scale,
        "mels": emission.log_mel.shape[1],
        "blank": list(_points(probabilities[:, BLANK], 0, len(probabilities), emission.frame_seconds * scale)),
        "areas": list(_areas(probabilities, emission, scale)),
    }


def _areas(probabilities: np.ndarray, emission: Emission, scale: float) -> Iterator[dict[str, Any]]:
    """One area per stretch in which a token is likely; `wins` if the best path contains it."""
    frame = emission.frame_seconds * scale
    best = probabilities.argmax(axis=1)
    for token in np.flatnonzero(probabilities.max(axis=0) > 0.1).tolist():
        if token == BLANK:
            continue
        curve = probabilities[:, token]
        for start, stop in _runs((curve > LEAST_PROBABILITY) | (best == token)):
            peak = start + int(curve[start:stop].argmax())
            if curve[peak] > 0.1:
                yield {
                    "piece": emission.pieces[token].replace(" ", "␣"),
                    "points": list(_points(curve, start, stop, frame)),
                    "x": (peak + 0.5) * frame,
                    "y": float(curve[peak]),
                    "wins": bool((best[start:stop] == token).any()),
                    "colour": token % 6,
                }


def _points(curve: np.ndarray, start: int, stop: int, frame: float) -> Iterator[tuple[float, float]]:
    """Corners (x, probability) of a curve through the middles of its frames, beginning and ending at 0."""
    yield (start * frame, 0.0)
    yield from (((index + 0.5) * frame, float(curve[index])) for index in range(start, stop))
    yield (stop * frame, 0.0)


def _runs(mask: np.ndarray) -> Iterable[tuple[int, int]]:
    """(start, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _parts(words: ErrorCounts) -> list[dict[str, Any]]:
    """Correct, substituted, deleted and inserted words as shares of their sum, for a stacked bar."""
    counts = {
        "equal": words.reference - words.substitutions - words.deletions,
        "substitution": words.substitutions,
        "deletion": words.deletions,
        "insertion": words.insertions,
    }
    total = max(1, sum(counts.values()))
    return [{"kind": kind, "count": count, "width": count / total} for kind, count in counts.items()]


def _bars_top(groups: Sequence[Group]) -> float:
    """The end of an axis that fits the groups with enough utterances: one odd recording must not flatten all bars."""
    return _top([group.interval[1] for group in groups if group.interval] or [group.words.rate for group in groups])


def _top(rates: Iterable[float]) -> float:
    """A round end for an axis from 0 that fits all of these rates."""
    highest = max((rate for rate in rates if not math.isnan(rate)), default=0.0)
    steps = [step * scale for scale in (0.001, 0.01, 0.1, 1, 10) for step in (1, 2, 3, 4, 5, 6, 8)]
    return next((step for step in steps if step >= highest * 1.05 and step >= 0.01), highest)


def _tick(rate: float) -> str:
    return f"{100 * rate:g}%"


def _share(value: float, top: float) -> str:
    """A CSS length: `value` on an axis from 0 to `top`."""
    return f"{100 * min(value / top, 1):.2f}%"


def _span(interval: Interval, top: float) -> str:
    """The CSS place of an interval on an axis from 0 to `top`."""
    return f"left:{_share(interval[0], top)};width:{_share(interval[1] - interval[0], top)}"


def _rate(counts: ErrorCounts) -> dict[str, Any]:
    return {"rate": counts.rate, **dataclasses.asdict(counts)}


def _group(group: Group) -> dict[str, Any]:
    about = {"name": group.name, "utterances": group.utterances, "seconds": group.seconds}
    return {**about, **_rate(group.words), "interval": group.interval}


def _utterance(item: Scored) -> dict[str, Any]:
    about = {"id": item.utterance.id, "speaker": item.utterance.speaker, "duration": item.utterance.duration}
    return {**about, "reference": item.reference, "hypothesis": item.hypothesis, "words": _rate(item.words)}


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(_escape(str(cell)) for cell in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


def _escape(text: str) -> str:
    """Text with Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]<|&~])", r"\\\1", " ".join(text.split()))
