"""Speed and memory of `asr transcribe`, and the parts of its time.

    python benchmarks/transcription.py

prints Markdown tables: time and memory against length, threads and batches, the share of the network's own speed that
whole transcription reaches, start-up, and the precision of the network. One thread unless said otherwise.
"""

import copy
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jiwer
import numpy as np
from clips import write_long, write_short
from commands import COMMAND, ROOT, Cost, measure
from report import processor, table
from terminal import log, start

from asr.data.manifest import Utterance, read_manifest
from asr.decoding.config import DecoderConfig
from asr.errors import ConfigError
from asr.recognition.batch import recognize_utterances, transcribe_files
from asr.recognition.config import BATCH_SECONDS
from asr.recognition.recognizer import Recognizer
from asr.text.normalizer import normalize

REPEATED = 600.0  # seconds of audio up to which a command is run several times
NETWORK_SECONDS = 600.0  # of audio for the comparison of precisions, per kind of recordings


@dataclass(frozen=True)
class Options:
    """Speed and memory of `asr transcribe`."""

    #: Model file.
    model: Path = ROOT / "data/digits/run/model.safetensors"
    #: Manifest of utterances that the recordings are joined and cut from, and that the WER of each precision is on.
    manifest: Path = ROOT / "data/digits/corpus/test.jsonl"
    #: Language model; with it, beam search is measured too.
    lm: Path | None = None
    #: Lengths of the recordings in seconds.
    lengths: tuple[float, ...] = (1, 5, 30, 120, 600, 3600, 7200)
    #: Short files, of 1 to 5 seconds, and one as long as all of them.
    files: int = 1000
    #: Measurements of each speed.
    rounds: int = 3
    #: A quick version of some minutes: recordings of at most two minutes, 50 short files, two rounds.
    quick: bool = False


@dataclass(frozen=True)
class Turn:
    """A round of transcription and of the network alone on the same input: wall-clock and processor seconds of each."""

    whole: tuple[float, float]
    network: tuple[float, float]


def choose(options: Options) -> Options:
    """The options, reduced by `quick`. Raises `ConfigError` for a file that does not exist."""
    for path, name in ((options.model, "--model"), (options.manifest, "--manifest")):
        if not path.exists():
            raise ConfigError(f"{path}: no such file; give {name}, or run `make train` first")
    if not options.quick:
        return options
    return replace(options, lengths=tuple(x for x in options.lengths if x <= 120), files=50, rounds=2)


def transcribing(sound: Path, model: Path, *arguments: object, threads: int = 1, times: int = 1) -> Cost:
    """Cost of the command for one recording, greedy unless `arguments` have a language model."""
    decoder = () if "--lm" in arguments else ("--decoder", "greedy", "--lm", "none")
    return measure(COMMAND, ["transcribe", sound, "-m", model, "--device", "cpu", *decoder, *arguments], threads, times)


def against_length(options: Options, sounds: dict[float, Path]) -> str:
    """Real-time factor and memory for each length."""
    rows = []
    for decoder, arguments in {"greedy": (), "beam": ("--lm", options.lm)}.items():
        if decoder == "beam" and not options.lm:
            continue
        for seconds, sound in sounds.items():
            log(f"{decoder}: {duration(seconds)}")
            times = options.rounds if seconds <= REPEATED else 1
            cost = transcribing(sound, options.model, *arguments, times=times)
            rows.append((decoder, duration(seconds), *figures(cost, seconds)))
    return table(("decoder", "length", "seconds", "processor seconds", "RTF", "peak GB"), rows)


def against_cores(options: Options, sound: Path, seconds: float) -> str:
    """Time and memory on one core and on two."""
    rows = []
    for cores in (1, 2):
        log(f"cores: {cores}")
        cost = transcribing(sound, options.model, threads=cores, times=options.rounds)
        rows.append((cores, *figures(cost, seconds)))
    return table(("cores", "seconds", "processor seconds", "RTF", "peak GB"), rows)


def start_up(options: Options, sound: Path) -> str:
    """From Python alone to the first words; each row includes those before it."""
    load = "from asr.decoding.config import DecoderConfig; from asr.recognition.recognizer import Recognizer; "
    load += f"Recognizer.load({str(options.model)!r}, 'cpu', DecoderConfig('greedy'))"
    stages = {
        "Python alone": "pass",
        "`import asr`": "import asr",
        "the options of all commands": "import asr.cli.main",
        "`asr --help`": "from asr.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "ONNX Runtime alone": "import onnxruntime",
        "all that recognition needs": "import asr.recognition.batch",
        "the model loaded": f"import asr.recognition.batch; {load}",
    }
    rows = []
    for name, code in stages.items():
        log(f"start-up: {name}")
        rows.append((name, *figures(measure(code, times=options.rounds))))
    log("start-up: first words")
    cost = transcribing(sound, options.model, times=options.rounds)
    rows.append((f"`asr transcribe`, {duration(5)}", *figures(cost)))
    return table(("up to", "seconds", "processor seconds", "peak GB"), rows)


def take_turns(recognizer: Recognizer, names: Sequence[str], rounds: int) -> tuple[list[Turn], list[list[np.ndarray]]]:
    """Rounds of whole transcription and of the network alone, and the network's input."""
    batches = network_batches(recognizer, names)

    def whole() -> None:
        list(transcribe_files(recognizer, names, BATCH_SECONDS))

    def network() -> None:
        score(recognizer, batches)

    network()
    return [Turn(timed(whole), timed(network)) for _ in range(rounds)], batches


def network_batches(recognizer: Recognizer, names: Sequence[str]) -> list[list[np.ndarray]]:
    """The features `(frames, mels)` of each call of the network while these files are transcribed."""
    recording, batches = copy.copy(recognizer), []

    def score_and_keep(features: Sequence[np.ndarray]) -> list[np.ndarray]:
        batches.append(list(features))
        return recognizer.log_probabilities(features)

    recording.log_probabilities = score_and_keep
    list(transcribe_files(recording, names, BATCH_SECONDS))
    return batches


def score(recognizer: Recognizer, batches: Sequence[Sequence[np.ndarray]]) -> None:
    """Run the network alone."""
    for features in batches:
        recognizer.log_probabilities(features)


def shares(turns: dict[str, list[Turn]], seconds: float) -> str:
    """Speed of whole transcription relative to the network alone."""
    rows = []
    for kind, own in turns.items():
        speeds = [seconds / median(getattr(turn, part)[0] for turn in own) for part in ("network", "whole")]
        clock, processor_time = (share(own, index) for index in (0, 1))
        rows.append((kind, *(f"{speed:.0f}" for speed in speeds), f"**{clock:.0%}**", f"{processor_time:.0%}"))
    return table(("sound", "network alone, s/s", "whole, s/s", "share", "share of processor time"), rows)


def share(turns: Sequence[Turn], index: int) -> float:
    """The network's share of the time, median over the rounds; index 0: wall-clock time, 1: processor time."""
    return median(turn.network[index] / turn.whole[index] for turn in turns)


def against_precision(
    recognizer: Recognizer, batches: dict[str, list[list[np.ndarray]]], utterances: Sequence[Utterance], rounds: int
) -> str:
    """The network in each precision: speed on the same input, measured in turn, and WER."""
    greedy = DecoderConfig("greedy")
    variants = {name: Recognizer(recognizer.file, "cpu", greedy, name) for name in PRECISIONS}
    seconds = {(name, kind): [] for name in variants for kind in batches}
    for number in range(rounds + 1):
        log(f"precision: round {number} of {rounds}")
        for kind, own in batches.items():
            for name, variant in variants.items():
                spent = timed(lambda variant=variant, own=own: score(variant, own))
                if number:  # the first one warms up
                    seconds[name, kind].append(spent[1])
    exact, *_ = wers = [error_rate(variant, utterances) for variant in variants.values()]
    rows = []
    for name, wer in zip(variants, wers, strict=True):
        ratios = (zip(seconds["float32", kind], seconds[name, kind], strict=True) for kind in batches)
        gains = [f"{median(first / own for first, own in pairs):.2f}" for pairs in ratios]
        rows.append((name, *gains, f"{100 * wer:.2f}", f"{100 * (wer - exact):+.2f}"))
    return table(("precision", *(f"times as fast, {kind}" for kind in batches), "WER %", "change"), rows)


PRECISIONS = ("float32", "int8")


def error_rate(recognizer: Recognizer, utterances: Sequence[Utterance]) -> float:
    """Word error rate as a fraction."""
    pairs = recognize_utterances(recognizer, utterances, BATCH_SECONDS).pairs
    texts = [(normalize(utterance.text, recognizer.file.text), transcript.text) for utterance, transcript in pairs]
    return jiwer.wer(*map(list, zip(*texts, strict=True)))


def beginning(batches: Sequence[list[np.ndarray]], seconds: float, hop_seconds: float) -> list[list[np.ndarray]]:
    """The first batches, up to `seconds` of audio."""
    kept, total = [], 0.0
    for batch in batches:
        kept.append(batch)
        total += sum(map(len, batch)) * hop_seconds
        if total >= seconds:
            break
    return kept


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock seconds, and processor seconds of all threads."""
    before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - before[0], time.process_time() - before[1]


def figures(cost: Cost, seconds: float | None = None) -> tuple[str, ...]:
    """A cost as cells of a table, with the real-time factor for `seconds` of audio."""
    factor = (f"{cost.seconds / seconds:.4f}",) if seconds else ()
    return f"{cost.seconds:.2f}", f"{cost.processor:.2f}", *factor, f"{cost.peak_bytes / 1e9:.2f}"


def duration(seconds: float) -> str:
    """A duration as text: '30 s', '2 min', '1 h'."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def main(options: Options) -> None:
    """Run everything and print it, each table as soon as known."""
    options = choose(options)
    utterances = read_manifest(options.manifest)
    recognizer = Recognizer.load(options.model, "cpu", DecoderConfig("greedy"))
    rate = recognizer.sample_rate
    print(f"{processor()}; {recognizer.file.parameter_count:,} parameters\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log("writing recordings")
        lengths = sorted({*options.lengths, 5.0})
        sounds = {length: write_long(folder / f"{length:g}.flac", length, utterances, rate) for length in lengths}
        short = write_short(folder, options.files, utterances, rate)
        total = 3.0 * options.files
        kinds = {
            f"{options.files} files of 1 to 5 s": short,
            f"one of {duration(total)}": [write_long(folder / "long.flac", total, utterances, rate)],
        }
        print(f"### Start-up\n\n{start_up(options, sounds[5.0])}\n", flush=True)
        print(f"### Length\n\n{against_length(options, sounds)}\n", flush=True)
        middle = max(length for length in lengths if length <= REPEATED)
        cores = against_cores(options, sounds[middle], middle)
        print(f"### Cores, {duration(middle)}\n\n{cores}\n", flush=True)
        turns, batches = {}, {}
        for kind, paths in kinds.items():
            log(f"network alone and whole transcription: {kind}")
            turns[kind], found = take_turns(recognizer, list(map(str, paths)), options.rounds)
            batches[kind] = beginning(found, NETWORK_SECONDS, recognizer.file.features.hop_seconds)
        print(f"### Share of the network's speed\n\n{shares(turns, total)}\n", flush=True)
    print(f"### Precision\n\n{against_precision(recognizer, batches, utterances, options.rounds)}")


if __name__ == "__main__":
    start(main, Options, __doc__)
