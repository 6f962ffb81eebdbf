"""WER and latency of live recognition by look-ahead, on recordings streamed as if they were live.

    python benchmarks/listening.py MANIFEST --model MODEL

prints a Markdown table. The first row is recognition of whole recordings; how many more errors the others have is shown
with its 95% interval by the bootstrap over utterances. A word is shown when it first appears in its place, and final
when it is committed; computing counts by the processor's time, so that other programs do not matter.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated

import jiwer
import numpy as np
import tyro
from report import processor, table
from terminal import log

from asr.data.manifest import load_utterance, read_manifest
from asr.decoding.config import load_decoder
from asr.evaluation.bootstrap import bootstrap
from asr.punctuation.config import WritingConfig
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import Update, listen
from asr.text.normalizer import normalize
from asr.transcript import Word


@dataclass(frozen=True)
class Options:
    """WER against look-ahead."""

    #: Manifest of the utterances to stream.
    manifest: Annotated[Path, tyro.conf.Positional]
    #: Model file.
    model: Path
    #: Seconds of look-ahead.
    look_aheads: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    #: Seconds of past audio that the network computes again in each step.
    history: float = ListenConfig.history
    #: Seconds between steps.
    step: float = ListenConfig.step
    #: Use every n-th utterance only.
    every: int = 1
    #: 'greedy', or the model's own decoder.
    decoder: str = "greedy"
    #: Write punctuation, for which a word waits until four words or a pause follow it.
    punctuation: bool = False


def main(options: Options) -> None:
    """Measure and print."""
    decoder = replace(load_decoder(options.model, decoder=options.decoder), decoder=options.decoder)
    recognizer = Recognizer.load(options.model, "cpu", decoder, writing=WritingConfig(options.punctuation))
    utterances = read_manifest(options.manifest)[:: options.every]
    sounds = [load_utterance(utterance, recognizer.sample_rate).samples for utterance in utterances]

    @cache
    def plain(text: str) -> str:
        return normalize(text, recognizer.file.text)

    references = [plain(utterance.text) for utterance in utterances]
    words_spoken = sum(len(reference.split()) for reference in references)
    whole = errors(references, [plain(recognizer.transcribe(sound).text) for sound in sounds])
    rows = [("whole", f"{whole.sum() / words_spoken:.2%}", *[""] * 6)]
    for look_ahead in options.look_aheads:
        log(f"{look_ahead:g} s")
        config = ListenConfig(look_ahead=look_ahead, history=options.history, step=options.step)
        texts, shown, final, computing = [], [], [], 0.0
        for sound in sounds:
            updates = list(streamed(recognizer, sound, config))
            updates = [without_punctuation(update, plain) for update in updates]
            words = [word for update in updates for word in update.committed]
            texts.append(" ".join(word.text for word in words))
            shown += delays(updates, words, with_partial=True)
            final += delays(updates, words, with_partial=False)
            computing += sum(update.computing for update in updates)
        found = errors(references, texts)
        change = f"{found.sum() / whole.sum() - 1:+.1%}"
        if interval := bootstrap(found - whole, whole, rounds=10_000):
            change += " ({:+.1%} to {:+.1%})".format(*interval)
        seconds = [f"{delay:.2f} s" for each in (shown, final) for delay in np.percentile(each, [50, 95])]
        share = computing / (sum(map(len, sounds)) / recognizer.sample_rate)
        rows.append((f"{look_ahead:g} s", f"{found.sum() / words_spoken:.2%}", change, *seconds, f"{share:.2f}"))
    hours = sum(map(len, sounds)) / recognizer.sample_rate / 3600
    print(f"{processor()}; {len(sounds)} utterances, {hours:.2f} h; decoder {decoder.describe()}\n")
    heads = (
        "look-ahead",
        "WER",
        "more errors (95%)",
        "words shown after (median)",
        "95% within",
        "final after (median)",
        "95% within",
    )
    print(table((*heads, "cores per stream"), rows))


def errors(references: list[str], texts: list[str]) -> np.ndarray:
    """Word errors of each utterance, `(utterances,)`."""
    found = [jiwer.process_words(*pair) for pair in zip(references, texts, strict=True)]
    return np.array([each.substitutions + each.deletions + each.insertions for each in found])


def without_punctuation(update: Update, plain: Callable[[str], str]) -> Update:
    """An update with plain words, which can be compared with those before they were written."""
    words = tuple(replace(word, text=plain(word.text)) for word in update.committed)
    return replace(update, committed=words, partial=plain(update.partial))


def streamed(recognizer: Recognizer, sound: np.ndarray, config: ListenConfig) -> Iterator[Update]:
    """The updates of a recording, with the processor time of each step."""
    updates = listen(recognizer, [sound], config)
    while True:
        started = time.process_time()
        if (update := next(updates, None)) is None:
            return
        yield replace(update, computing=time.process_time() - started)


def delays(updates: list[Update], words: list[Word], with_partial: bool) -> list[float]:
    """Seconds from each word's end to the update that first has it in its place."""
    found: dict[int, float] = {}
    committed: list[str] = []
    for update in updates:
        committed += [word.text for word in update.committed]
        known = [*committed, *(update.partial.split() if with_partial else [])]
        for place, (text, word) in enumerate(zip(known, words, strict=False)):
            if text == word.text and place not in found:
                found[place] = update.received - word.end + update.computing
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
