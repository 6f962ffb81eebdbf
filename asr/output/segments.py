"""Segments of a transcript, those of its subtitles, with the probability that all their words are right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr.output.subtitles import make_subtitles
from asr.transcript import Transcript, Word

LEAST_CONFIDENCE = 1e-6  # of a word: its logarithm must be finite


@dataclass(frozen=True)
class Segment:
    """Some words, and the probability that they are right and complete."""

    words: tuple[Word, ...]
    text: str
    confidence: float  # 0..1


def make_segments(transcript: Transcript, slope: float) -> list[Segment]:
    """The segments of a transcript, in order; see `segment_confidence` for `slope`."""
    return [
        Segment(each.words, transcript.join(each.words), segment_confidence(each.words, slope))
        for each in make_subtitles(transcript)
    ]


def segment_confidence(words: Sequence[Word], slope: float) -> float:
    """The probability that all words are right: the product of their confidences, raised to `slope`.

    `slope` is 1 if confidences are calibrated and errors independent; `asr tune` fits it to a dev set.
    """
    return math.exp(slope * sum(math.log(max(word.confidence, LEAST_CONFIDENCE)) for word in words))


def without_doubtful_segments(transcript: Transcript, least: float, slope: float) -> Transcript:
    """The transcript without the segments whose confidence is below `least`, and a note on their number."""
    segments = make_segments(transcript, slope)
    kept = [segment for segment in segments if segment.confidence >= least]
    if len(kept) == len(segments):
        return transcript
    words = tuple(word for segment in kept for word in segment.words)
    spans = [(segment.words[0].start, segment.words[-1].end) for segment in kept]
    spoken = tuple(
        word for word in transcript.spoken if any(start <= word.start and word.end <= end for start, end in spans)
    )
    note = f"{len(segments) - len(kept)} of {len(segments)} segments left out, their confidence is below {least:g}"
    notes = (*transcript.notes, note)
    return replace(transcript, text=transcript.join(words), words=words, spoken=spoken, notes=notes)
