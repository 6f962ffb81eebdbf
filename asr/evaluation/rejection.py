"""Rejection: how well a threshold of the word confidence separates the vocabulary's words from others.

No recordings of other words are needed. Each word is removed from the lexicon in turn, its recordings are decoded
without it, and whatever is recognised in its place is a word from outside that was taken for one of the vocabulary.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from asr.data.manifest import Utterance
from asr.decoding.config import DecoderConfig
from asr.decoding.decoder import make_decoder
from asr.evaluation.alignment import Scored, score
from asr.recognition.batch import transcribed, utterance_emissions
from asr.recognition.recognizer import Recognizer
from asr.text.lexicon_file import read_rows
from asr.utils.files import write_atomically

MOST_WORDS = 200  # of a vocabulary in which other words are worth rejecting
MOST_REMOVED, MOST_EACH = 20, 20  # words removed in turn, the most frequent ones, and utterances of each
FALSE_REJECTS = (0.005, 0.01, 0.02, 0.05)  # shares of the correct words, each of which gives a threshold


@dataclass(frozen=True)
class Threshold:
    """A threshold of the confidence with the errors that it makes."""

    confidence: float  # for `reject`
    false_rejects: float  # share of the correctly recognised words that have less
    false_accepts: float  # share of the words outside the vocabulary for which another one is recognised with more


@dataclass(frozen=True)
class Rejection:
    """Thresholds from low to high, the first without any rejection, and the numbers of words behind their figures."""

    thresholds: tuple[Threshold, ...]
    inside: int  # words of the vocabulary that were recognised correctly
    outside: int  # occurrences of words that the lexicon lacked for the purpose


def measure_rejection(
    recognizer: Recognizer, search: DecoderConfig, scored: Sequence[Scored], batch_seconds: float
) -> Rejection | None:
    """Thresholds for a closed vocabulary, from utterances that were recognised with it; None for another vocabulary."""
    if search.is_greedy or search.reject or search.beam.open_vocabulary or not search.lexicon:
        return None
    rows = read_rows(search.lexicon)
    vocabulary = {word for word, _ in rows}
    words = Counter(word for item in scored for word in item.reference.split() if word in vocabulary)
    if len(vocabulary) > MOST_WORDS or len(words) < 2:
        return None
    inside = [confidence for item in scored for confidence, same in _judged(item) if same]
    outside: list[float] = []
    with TemporaryDirectory() as folder:
        for word, _ in words.most_common(MOST_REMOVED):
            kept = [f"{other}  {' '.join(tokens)}".rstrip() for other, tokens in rows if other != word]
            lexicon = write_atomically(Path(folder) / "lexicon.txt", "\n".join(kept) + "\n")
            utterances = [item.utterance for item in scored if word in item.reference.split()][:MOST_EACH]
            outside += _accepted(recognizer, replace(search, lexicon=lexicon), utterances, word, batch_seconds)
    if not inside:
        return None
    return rejection(inside, outside)


def rejection(inside: Sequence[float], outside: Sequence[float]) -> Rejection:
    """Thresholds from the confidences of correct words and of those recognised in the place of a word outside, 0 where
    none was."""
    ordered, others = np.sort(inside), np.asarray(outside)
    found = {math.floor(100 * ordered[int(share * len(ordered))]) / 100 for share in FALSE_REJECTS}
    least = [0.0, *sorted(found - {0.0})]
    return Rejection(
        tuple(Threshold(each, float((ordered < each).mean()), float((others > each).mean())) for each in least),
        len(ordered),
        len(others),
    )


def _accepted(
    recognizer: Recognizer, search: DecoderConfig, utterances: Sequence[Utterance], word: str, batch_seconds: float
) -> Iterator[float]:
    """The confidence of what is recognised in the place of each occurrence of a word, 0 where nothing is."""
    file = recognizer.file
    decoder = make_decoder(search, file.tokenizer, file.text, file.phones, file.priors)
    emissions = utterance_emissions(recognizer, utterances, batch_seconds)
    for item in score(transcribed(recognizer, utterances, decoder.decode_batch(emissions)), file.text):
        confidences = iter(word.confidence for word in item.transcript.words)
        for aligned in item.alignment:
            confidence = next(confidences, 0.0) if aligned.hypothesis else 0.0
            if aligned.reference == word:
                yield confidence


def _judged(item: Scored) -> Iterator[tuple[float, bool]]:
    """The confidence of each recognised word, and whether it is correct."""
    words = item.transcript.words
    if [word.text for word in words] == item.hypothesis.split():
        recognised = [aligned for aligned in item.alignment if aligned.hypothesis]
        for word, aligned in zip(words, recognised, strict=True):
            yield word.confidence, aligned.kind == "equal"
