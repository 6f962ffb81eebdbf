"""Word error rate against speed: our beam search, flashlight-text, torchaudio and pyctcdecode, in one run.

    python benchmarks/decoders.py

prints Markdown tables and draws `decoders.png`. Weights are tuned for each decoder on one half of the utterances (every
second one of each speaker) and everything else is measured on the other half. Each decoder has its own process, one
thread and one core; each round measures all decoders, and the median over rounds is reported.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from decoder_bench import Bench, Candidate, Data
from report import draw, markdown
from systems import NATS, missing
from terminal import log, start

from asr.errors import ConfigError

ROOT = Path(__file__).parent.parent
VERSIONS = {"as trained": 1.0, "sharper (x 1.5)": 1.5, "flatter (x 0.67)": 0.67}  # factors of the log-probabilities


@dataclass(frozen=True)
class Options:
    """WER against speed, for our decoder and others."""

    #: Model file. The other decoders need a model whose tokens are single characters.
    model: Path = ROOT / "data/mini_librispeech/run/model.safetensors"
    #: Utterances: one half for tuning, one half for measuring.
    manifest: Path = ROOT / "data/mini_librispeech/librispeech-dev.jsonl"
    #: Language model, a plain ARPA file; trained on the text if it does not exist.
    lm: Path = ROOT / "data/lm/gutenberg-3gram.arpa"
    #: Text that the 3-gram language model is trained on.
    text: Path = ROOT / "data/english/text.txt.xz"
    #: Beam sizes.
    beams: tuple[int, ...] = (16, 64, 256, 1024)
    #: Measurements of each speed.
    rounds: int = 3
    #: Utterances of the tuning half to tune on, limited by the slowest decoder.
    tuning_utterances: int = 30
    #: Seconds per decoder and beam; a decoder that needs more for the measuring half is measured on the utterances
    #: that it finishes.
    limit_seconds: float = 60.0
    #: File for the picture.
    picture: Path = ROOT / "benchmarks/decoders.png"


CLOSED, OPEN, PYCTC = "asr, closed vocabulary", "asr, open vocabulary", "pyctcdecode, its own pruning"
CANDIDATES = (
    Candidate(CLOSED, "asr"),
    Candidate(OPEN, "asr", {"open_vocabulary": True}),
    Candidate("flashlight-text", "flashlight", compared_with=CLOSED),
    Candidate(
        "torchaudio ctc_decoder", "torchaudio", all_versions=False, weights_of="flashlight-text", compared_with=CLOSED
    ),
    Candidate(PYCTC, "pyctcdecode", compared_with=OPEN),
    Candidate(
        f"pyctcdecode, {NATS:g} nats",
        "pyctcdecode",
        {"token_min_logp": -NATS, "beam_prune_logp": -NATS},
        64,
        all_versions=False,
        weights_of=PYCTC,
        compared_with=OPEN,
    ),
)
#: Options of our decoder and of flashlight, each compared with the preceding row without options.
VARIANTS = (
    (CLOSED, {}),
    *((CLOSED, {"top_tokens": count}) for count in (16, 8, 4)),
    *((CLOSED, {"blank_skip": share}) for share in (0.999, 0.99, 0.95)),
    *((CLOSED, {"beam_nats": nats}) for nats in (6.0, 8.0, 12.0, 24.0, 50.0)),
    ("flashlight-text", {}),
    ("flashlight-text", {"beam_nats": 50.0}),
    ("flashlight-text", {"log_add": True}),
)


def split(speakers: Sequence[str]) -> tuple[list[int], list[int]]:
    """Every speaker's utterances alternately for tuning and measuring, each half ordered to alternate speakers."""
    seen: dict[str, int] = defaultdict(int)
    places = []
    for index, speaker in enumerate(speakers):
        places.append((seen[speaker], speaker, index))
        seen[speaker] += 1
    order = sorted(places)
    return [index for place, _, index in order if place % 2 == 0], [index for place, _, index in order if place % 2]


def sharpen(emission: np.ndarray, factor: float) -> np.ndarray:
    """Log-probabilities times a factor, renormalised."""
    scaled = emission.astype(np.float64) * factor
    return (scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))).astype(np.float32)


def load_data(options: Options) -> Data:
    """Log-probabilities of the model for all utterances of the manifest."""
    from asr.data.manifest import read_manifest
    from asr.recognition.batch import utterance_emissions
    from asr.recognition.recognizer import Recognizer
    from asr.text.normalizer import normalize

    recognizer, utterances = Recognizer.load(options.model), read_manifest(options.manifest)
    emissions = utterance_emissions(recognizer, utterances, 120.0)
    tuning, measuring = split([utterance.speaker for utterance in utterances])
    return Data(
        {name: [sharpen(emission, factor) for emission in emissions] for name, factor in VERSIONS.items()},
        [normalize(utterance.text, recognizer.file.text) for utterance in utterances],
        tuning,
        measuring,
        list(recognizer.file.tokenizer.pieces),
        recognizer.file.frame_seconds,
        VERSIONS,
    )


def choose(options: Options) -> Options:
    """The options, or those for the synthetic corpus of `make train` if the defaults' files do not exist."""
    needed = [options.model, options.manifest, options.lm if options.lm.exists() else options.text]
    absent = [path for path in needed if not path.exists()]
    if not absent:
        return options
    digits = ROOT / "data/digits"
    synthetic = replace(
        options,
        model=digits / "run/model.safetensors",
        manifest=digits / "corpus/test.jsonl",
        lm=digits / "3gram.arpa",
        text=digits / "corpus/train.jsonl",
    )
    if not synthetic.model.exists():
        raise ConfigError(f"{absent[0]}: no such file; give --model, --manifest and --lm, or run `make train` first")
    log(f"{absent[0]}: no such file; measuring on synthetic speech, whose WER says nothing about human speech")
    return synthetic


def language_model(options: Options) -> Path:
    """The ARPA file, trained if it does not exist."""
    from asr.lm.config import LmConfig
    from asr.lm.training import train_model

    if not options.lm.exists():
        log(f"making {options.lm} from {options.text}")
        train_model([options.text], LmConfig(), options.lm)
    return options.lm


def measurable(data: Data) -> list[Candidate]:
    """The decoders that can be measured; prints why others cannot."""
    if any(len(piece) != 1 for piece in data.pieces[1:]) or " " not in data.pieces:
        log("the model's tokens are not single characters with a space: only our decoder can be measured")
        return [candidate for candidate in CANDIDATES if candidate.kind == "asr"]
    for candidate in CANDIDATES:
        if names := missing(candidate.kind):
            log(f"{candidate.name}: left out, as {', '.join(names)} is not installed (see benchmarks/README.md)")
    return list(CANDIDATES)


def main(options: Options) -> None:
    """Run everything and print it."""
    options = choose(options)
    arpa = language_model(options)
    data = load_data(options)
    candidates = measurable(data)
    Bench(data, arpa, candidates[:1]).close()  # compiles before the measurements
    bench = Bench(data, arpa, candidates)
    bench.tune(options.tuning_utterances)
    bench.measure(options.beams, options.rounds, options.limit_seconds)
    variants = bench.variants(VARIANTS, options.rounds, options.limit_seconds)
    threads = bench.threads([beam for beam in options.beams if beam >= 64], options.rounds)
    print(markdown(bench, variants, threads, bench.close()))
    draw(bench, options.picture)


if __name__ == "__main__":
    start(main, Options, __doc__)
