"""A long recording divided among processes: one cuts it into stretches, others recognise these, and one joins them,
with the result of `asr.recognition.pipeline.recognize`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from asr.audio.chunking import Window
from asr.decoding.decoder import Decoder, Decoding
from asr.recognition.pipeline import Ending, Opener, Part, decode_segments, read_windows, score_parts
from asr.recognition.scorer import Scorer
from asr.utils.cores import core_count


@dataclass(frozen=True)
class Stretch:
    """Consecutive windows of a recording that begin and end with a segment."""

    windows: tuple[Window, ...]
    start: int  # output frame of the recording
    ending: Ending | None  # of the recording's last


def read_stretches(
    open_recording: Opener, sample_rate: int, frame_samples: int, least_seconds: float
) -> Iterator[Stretch]:
    """The stretches of a recording, each as short as a segment's end after `least_seconds` allows."""
    least = least_seconds * sample_rate / frame_samples
    windows: list[Window] = []
    start = end = 0
    for window, ending in read_windows(open_recording, sample_rate, frame_samples):
        windows.append(window)
        end += window.frames or 0
        if ending or (window.ends_segment and end - start >= least):
            yield Stretch(tuple(windows), start, ending)
            windows, start = [], end


def recognize_stretch(
    scorer: Scorer, decoder: Decoder, stretch: Stretch, batch_seconds: float
) -> list[tuple[int, Decoding]]:
    """The words of each segment of a stretch, with the segment's first output frame in the recording."""
    parts = (Part("", scorer.features_of_sound(window.samples), window, None) for window in stretch.windows)
    with ThreadPoolExecutor(core_count()) as pool:
        decoded = decode_segments(decoder, score_parts(scorer, parts, batch_seconds), pool)
        return [(stretch.start + segment.start, decoding) for segment, decoding in decoded]
