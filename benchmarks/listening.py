"""WER and latency of `asr listen` by look-ahead, on recordings streamed as if they were live.

    python benchmarks/listening.py MANIFEST --model MODEL

prints a Markdown table. The first row is recognition of whole recordings.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jiwer
import numpy as np
import tyro
from report import processor, table
from terminal import log

from asr.data.manifest import load_utterance, read_manifest
from asr.decoding.config import load_decoder
from asr.punctuation.config import PLAIN
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import listen
from asr.text.normalizer import normalize


@dataclass(frozen=True)
class Options:
    """WER against look-ahead."""

    #: Manifest of the utterances to stream.
    manifest: Annotated[Path, tyro.conf.Positional]
    #: Model file.
    model: Path
    #: Seconds of look-ahead.
    look_aheads: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    #: Use every n-th utterance only.
    every: int = 1
    #: 'greedy', or the model's own decoder.
    decoder: str = "greedy"


def main(options: Options) -> None:
    """Measure and print."""
    decoder = replace(load_decoder(options.model, decoder=options.decoder), decoder=options.decoder)
    recognizer = Recognizer.load(options.model, "cpu", decoder, writing=PLAIN)
    utterances = read_manifest(options.manifest)[:: options.every]
    sounds = [load_utterance(utterance, recognizer.sample_rate).samples for utterance in utterances]
    references = [normalize(utterance.text, recognizer.file.text) for utterance in utterances]
    whole = jiwer.wer(references, [recognizer.transcribe(sound).text for sound in sounds])
    rows = [("whole", f"{whole:.2%}", "", "", "")]
    for look_ahead in options.look_aheads:
        log(f"{look_ahead:g} s")
        config, texts, delays, computing = ListenConfig(look_ahead=look_ahead), [], [], 0.0
        for sound in sounds:
            updates = list(listen(recognizer, [sound], config))
            words = [(word, update) for update in updates for word in update.committed]
            texts.append(" ".join(word.text for word, _ in words))
            delays += [update.received - word.end + update.computing for word, update in words]
            computing += sum(update.computing for update in updates)
        median, most = np.percentile(delays, [50, 95])
        share = computing / (sum(map(len, sounds)) / recognizer.sample_rate)
        row = (f"{look_ahead:g} s", f"{jiwer.wer(references, texts):.2%}", f"{median:.2f} s", f"{most:.2f} s")
        rows.append((*row, f"{share:.0%}"))
    hours = sum(map(len, sounds)) / recognizer.sample_rate / 3600
    print(f"{processor()}; {len(sounds)} utterances, {hours:.2f} h; decoder {decoder.describe()}\n")
    print(table(("look-ahead", "WER", "words final after (median)", "95% within", "share of time computing"), rows))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
