"""Word error rate against speed: our beam search beside flashlight-text, torchaudio and pyctcdecode, in one run.

    python benchmarks/decoders.py

prints Markdown tables and draws `decoders.png`. Weights are tuned for each decoder on one half of the utterances (every
second one of each speaker) and everything else is measured on the other half. Each decoder has a process of its own,
one thread, one core; rounds go round all decoders, and the median of them counts.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from contest import Bench, Contender, Data
from report import draw, markdown
from systems import NATS, missing
from terminal import start, tell

from asr.errors import ConfigError

ROOT = Path(__file__).parent.parent
VERSIONS = {"as trained": 1.0, "sharper (x 1.5)": 1.5, "flatter (x 0.67)": 0.67}  # factors of the log-probabilities


@dataclass(frozen=True)
class Options:
    """WER against speed, for our decoder and others."""

    #: Model file. Its tokens must be single characters for the other decoders to take part.
    model: Path = ROOT / "data/mini_librispeech/run/model.safetensors"
    #: Utterances: one half for tuning, one half for measuring.
    manifest: Path = ROOT / "data/mini_librispeech/librispeech-dev.jsonl"
    #: Language model, a plain ARPA file; made from the text if it is not there.
    lm: Path = ROOT / "data/lm/gutenberg-3gram.arpa"
    #: Text for the language model, of which it has all 3-grams.
    text: Path = ROOT.parent / "shared/text/gutenberg.txt.xz"
    #: Beam sizes.
    beams: tuple[int, ...] = (16, 64, 256, 1024)
    #: Times that each speed is measured.
    rounds: int = 3
    #: Utterances of the tuning half to tune on: the slowest decoder decides how many are bearable.
    tuning_utterances: int = 30
    #: Seconds. A decoder that takes longer for the measuring half at some beam is measured on as many utterances as
    #: it gets done.
    limit_seconds: float = 60.0
    #: Where the picture goes.
    picture: Path = ROOT / "benchmarks/decoders.png"


CLOSED, OPEN, PYCTC = "asr, closed vocabulary", "asr, open vocabulary", "pyctcdecode, its own pruning"
CONTENDERS = (
    Contender(CLOSED, "asr"),
    Contender(OPEN, "asr", {"open_vocabulary": True}),
    Contender("flashlight-text", "flashlight", rival=CLOSED),
    Contender("torchaudio ctc_decoder", "torchaudio", all_versions=False, weights_of="flashlight-text", rival=CLOSED),
    Contender(PYCTC, "pyctcdecode", rival=OPEN),
    Contender(
        f"pyctcdecode, {NATS:g} nats",
        "pyctcdecode",
        {"token_min_logp": -NATS, "beam_prune_logp": -NATS},
        64,
        all_versions=False,
        weights_of=PYCTC,
        rival=OPEN,
    ),
)
#: What options of ours, and of flashlight, cost and gain beside the row before them that has none.
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
    """Every speaker's utterances alternately for tuning and measuring; both go from speaker to speaker."""
    seen: dict[str, int] = defaultdict(int)
    places = []
    for index, speaker in enumerate(speakers):
        places.append((seen[speaker], speaker, index))
        seen[speaker] += 1
    order = sorted(places)
    return [index for place, _, index in order if place % 2 == 0], [index for place, _, index in order if place % 2]


def sharpen(emission: np.ndarray, factor: float) -> np.ndarray:
    """Log-probabilities times a factor, summing to 1 again."""
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
    """The options, or those for the embedded corpus where the defaults' files are not there."""
    needed = [options.model, options.manifest, options.lm if options.lm.exists() else options.text]
    absent = [path for path in needed if not path.exists()]
    if not absent:
        return options
    digits = ROOT / "data/digits"
    embedded = replace(
        options,
        model=digits / "run/model.safetensors",
        manifest=digits / "corpus/test.jsonl",
        lm=digits / "3gram.arpa",
        text=digits / "corpus/train.jsonl",
    )
    if not embedded.model.exists():
        raise ConfigError(f"{absent[0]}: no such file; give --model, --manifest and --lm, or run `make train` first")
    tell(f"{absent[0]}: no such file: the embedded corpus instead (synthetic speech, says nothing of human speech)")
    return embedded


def language_model(options: Options) -> Path:
    """The ARPA file, made if need be."""
    from asr.lm.config import LmConfig
    from asr.lm.training import train_model

    if not options.lm.exists():
        tell(f"making {options.lm} from {options.text}")
        train_model([options.text], LmConfig(), options.lm)
    return options.lm


def field_of(data: Data) -> list[Contender]:
    """Who takes part; says who does not and why."""
    if any(len(piece) != 1 for piece in data.pieces[1:]) or " " not in data.pieces:
        tell("the model's tokens are not single characters, the space among them: only ours can be measured")
        return [contender for contender in CONTENDERS if contender.kind == "asr"]
    for contender in CONTENDERS:
        if names := missing(contender.kind):
            tell(f"{contender.name}: left out, as {', '.join(names)} is not installed (see benchmarks/README.md)")
    return list(CONTENDERS)


def main(options: Options) -> None:
    """Run everything and print it."""
    options = choose(options)
    arpa = language_model(options)
    data = load_data(options)
    contenders = field_of(data)
    Bench(data, arpa, contenders[:1]).close()  # so that nothing is compiled in the run that counts
    bench = Bench(data, arpa, contenders)
    bench.tune(options.tuning_utterances)
    bench.measure(options.beams, options.rounds, options.limit_seconds)
    variants = bench.variants(VARIANTS, options.rounds, options.limit_seconds)
    threads = bench.threads([beam for beam in options.beams if beam >= 64], options.rounds)
    print(markdown(bench, variants, threads, bench.close()))
    draw(bench, options.picture)


if __name__ == "__main__":
    start(main, Options, __doc__)
