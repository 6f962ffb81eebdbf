"""Recordings of any number and length -> log-probabilities -> words, in bounded memory.

A thread reads windows and computes their features; the network takes them one by one in parallel, or on a GPU in
batches of similar length; other threads decode. Results are in the order of the input.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from asr.audio.chunking import Window, cut_windows
from asr.audio.io import AudioPieces
from asr.decoding.decoder import Decoder, Decoding, WordDecoder, join_decodings
from asr.errors import AudioError
from asr.model.padding import plan_in_order
from asr.recognition.scorer import Scorer
from asr.transcript import Transcript
from asr.utils.cores import core_count
from asr.utils.prefetch import OrderedResults, prefetch, prefetch_map

POOL_BATCHES = 4  # on a GPU: batches' worth of windows that are sorted by length together
READ_AHEAD = 4  # on a CPU: windows per core that are read ahead
MOST_WAITING = 64  # segments that may wait to be decoded

Opener = Callable[[], AbstractContextManager[AudioPieces]]
Source = tuple[Hashable, Opener]  # a key, and how to open the recording


@dataclass(frozen=True)
class Ending:
    """How a recording ended."""

    samples: int = 0  # at the model's rate
    notes: tuple[str, ...] = ()
    error: AudioError | None = None  # why it could not be read to its end


@dataclass(frozen=True)
class Part:
    """A window of a recording with its features, or with the network's output for its core."""

    key: Hashable
    values: np.ndarray  # (frames, mels), or (output frames of the core, tokens)
    window: Window
    ending: Ending | None  # of the last window


@dataclass(frozen=True)
class Segment:
    """The log-probabilities of a recording, or of a part of it that ends between words."""

    key: Hashable
    emission: np.ndarray  # (output frames, tokens)
    start: int  # output frame of the recording
    ending: Ending | None  # of the last segment


def recognize(
    scorer: Scorer,
    decoder: Decoder,
    sources: Iterable[Source],
    batch_seconds: float,
    advance: Callable[[float], None] = lambda seconds: None,
) -> Iterator[tuple[Hashable, Transcript | AudioError]]:
    """The transcript of each source, or why there is none, in order and as soon as known.

    `advance` is called with the seconds of audio that the network has processed.
    """

    found: list[tuple[int, Decoding]] = []
    with ThreadPoolExecutor(core_count()) as pool:
        parts = score_parts(scorer, _parts(scorer, sources), batch_seconds, advance)
        for segment, decoding in decode_segments(decoder, parts, pool):
            found.append((segment.start, decoding))
            if segment.ending:
                result = segment.ending.error or join_segments(scorer, decoder, found, segment.ending)
                found = []
                yield segment.key, result


def join_segments(
    scorer: Scorer, decoder: Decoder, found: Sequence[tuple[int, Decoding]], ending: Ending
) -> Transcript:
    """The transcript of a recording from its segments' first output frames and words."""
    return replace(scorer.to_transcript(join_decodings(found, decoder.separator), ending.samples), notes=ending.notes)


def recognize_parts(scorer: Scorer, decoder: Decoder, source: Source, batch_seconds: float) -> Iterator[Transcript]:
    """The transcript of one recording in parts that end at pauses, each as soon as it is known. Times count from the
    recording's start, and so does `duration`, which ends with the part.

    Raises the recording's `AudioError`, after the parts before the fault.
    """
    with ThreadPoolExecutor(core_count()) as pool:
        parts = score_parts(scorer, _parts(scorer, [source]), batch_seconds)
        for segment, decoding in decode_segments(decoder, parts, pool):
            ending = segment.ending or Ending((segment.start + len(segment.emission)) * scorer.frame_samples)
            if ending.error:
                raise ending.error
            yield join_segments(scorer, decoder, [(segment.start, decoding)], ending)


def segments(
    scorer: Scorer, sources: Iterable[Source], batch_seconds: float, advance: Callable[[float], None]
) -> Iterator[Segment]:
    """The sources' log-probabilities, cut where there is a pause."""
    return filter(None, map(SegmentBuilder().add, score_parts(scorer, _parts(scorer, sources), batch_seconds, advance)))


def decode_segments(decoder: Decoder, parts: Iterable[Part], pool: Executor) -> Iterator[tuple[Segment, Decoding]]:
    """The words of each segment of the scored parts, in order and as soon as known."""
    if isinstance(decoder, WordDecoder) and decoder.context:
        yield from _decode_in_order(decoder, parts)
        return

    def decode(segment: Segment) -> tuple[Segment, Decoding]:
        return segment, decoder.decode_batch([segment.emission])[0]

    builder, results = SegmentBuilder(), OrderedResults(pool, MOST_WAITING)
    for part in parts:
        if segment := builder.add(part):
            results.submit(decode, segment)
        # After each window, not each segment: a long recording must not hold back the results of those before it.
        yield from results.ready()
    yield from results.remaining()


def _decode_in_order(decoder: WordDecoder, parts: Iterable[Part]) -> Iterator[tuple[Segment, Decoding]]:
    """Segments that depend on the words before them in their recording."""
    before: tuple[str, ...] = ()
    for segment in filter(None, map(SegmentBuilder().add, parts)):
        decoding = decoder.decode(segment.emission, before)
        before = () if segment.ending else (*before, *(word.text for word in decoding.words))[-decoder.context :]
        yield segment, decoding


class SegmentBuilder:
    """Joins the windows of a segment."""

    def __init__(self) -> None:
        self._emissions: list[np.ndarray] = []
        self._start = 0

    def add(self, part: Part) -> Segment | None:
        """The segment that ends with this window, if one does."""
        self._emissions.append(part.values)
        if not part.window.ends_segment:
            return None
        segment = Segment(part.key, np.concatenate(self._emissions), self._start, part.ending)
        self._emissions, self._start = [], 0 if part.ending else self._start + len(segment.emission)
        return segment


def score_parts(
    scorer: Scorer, parts: Iterable[Part], batch_seconds: float, advance: Callable[[float], None] = lambda seconds: None
) -> Iterator[Part]:
    """The parts with log-probabilities instead of features."""
    if scorer.batches:
        # Whole pools are prefetched: reading must go on while the network is at work on one.
        for pool in prefetch(_pools(scorer, parts, POOL_BATCHES * batch_seconds), 1):
            yield from _score_batches(scorer, pool, batch_seconds, advance)
        return

    def score(part: Part) -> tuple[Part, np.ndarray]:
        return part, scorer.of_speech([part.values], [part.window.samples])[0]

    with ThreadPoolExecutor(scorer.parallel_calls) as threads:
        ahead = READ_AHEAD * scorer.parallel_calls
        for part, emission in prefetch_map(score, prefetch(parts, ahead), threads, ahead):
            advance(_seconds(scorer, part))
            yield replace(part, values=part.window.core(emission))


def _pools(scorer: Scorer, parts: Iterable[Part], most_seconds: float) -> Iterator[list[Part]]:
    """The same parts in lists of about `most_seconds` each."""
    pool: list[Part] = []
    seconds = 0.0
    for part in parts:
        pool.append(part)
        seconds += _seconds(scorer, part)
        if seconds >= most_seconds:
            yield pool
            pool, seconds = [], 0.0
    yield pool


def _parts(scorer: Scorer, sources: Iterable[Source]) -> Iterator[Part]:
    """Windows with their features."""
    for key, open_recording in sources:
        for window, ending in read_windows(open_recording, scorer.sample_rate, scorer.frame_samples):
            yield Part(key, scorer.features_of_sound(window.samples), window, ending)


def read_windows(
    open_recording: Opener, sample_rate: int, frame_samples: int
) -> Iterator[tuple[Window, Ending | None]]:
    """The windows of a recording, the last with its ending; one that cannot be read ends with an empty window."""
    try:
        with open_recording() as audio:
            lengths: list[int] = []
            windows = cut_windows(_counted(audio.pieces, lengths), sample_rate, frame_samples)
            last = next(windows)
            for window in windows:
                yield last, None
                last = window
            ending = Ending(sum(lengths), tuple(audio.notes))
    except AudioError as error:
        last, ending = Window(np.zeros(0, np.float32), 0, None, True), Ending(error=error)
    yield last, ending


def _counted(pieces: Iterable[np.ndarray], lengths: list[int]) -> Iterator[np.ndarray]:
    """The same pieces; the length of each is appended to `lengths`."""
    for piece in pieces:
        lengths.append(len(piece))
        yield piece


def _score_batches(
    scorer: Scorer, pool: list[Part], batch_seconds: float, advance: Callable[[float], None]
) -> Iterator[Part]:
    """The same parts with log-probabilities instead of features."""
    durations = [_seconds(scorer, part) for part in pool]
    emissions: dict[int, np.ndarray] = {}
    for batch in plan_in_order(durations, batch_seconds):
        features, recordings = zip(*((pool[index].values, pool[index].window.samples) for index in batch), strict=True)
        emissions |= zip(batch, scorer.of_speech(features, recordings), strict=True)
        advance(sum(durations[index] for index in batch))
    for index, part in enumerate(pool):
        yield replace(part, values=part.window.core(emissions[index]))


def _seconds(scorer: Scorer, part: Part) -> float:
    return len(part.window.samples) / scorer.sample_rate
