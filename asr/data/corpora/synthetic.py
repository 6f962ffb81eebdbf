"""The synthetic corpus: connected digits, household commands or the lines of a text file, spoken by espeak-ng (formant
synthesis) or Kokoro (neural synthesis).

For trials and tests, and for pretraining on many hours of read speech. A model trained on espeak-ng's speech alone does
badly on human voices.

Every choice depends only on the seed and the utterance's number; train, dev and test share no voice and no family of
voices ("klatt" and "klatt2" are one). Synthesis can be interrupted: the same command keeps complete blocks of
recordings.
"""

import dataclasses
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile

from asr.audio.effects import coloured_noise, reverberate
from asr.audio.io import resample
from asr.data.config import SyntheticConfig
from asr.data.corpora.base import Candidate
from asr.data.corpora.sentences import SUFFIXES, choose_sentences
from asr.data.corpora.synthetic_voices import ENGINES, Engine
from asr.errors import ManifestError
from asr.utils.extras import require
from asr.utils.files import make_folder, write_atomically
from asr.utils.prefetch import prefetch_map

SAMPLE_RATE = 16000  # hertz, of the files written
WRITERS = 8  # threads that encode and write
SETTINGS = "recordings.json"  # the settings of the recordings in a folder

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS = (
    ("turn|switch", "on|off", "the", "kitchen|bedroom|hall|garden", "light|lamp|fan|heater"),
    ("set", "a|the", "timer|alarm", "for", "DIGIT", "seconds|minutes|hours"),
    ("play|pause|stop", "the", "music|radio|film"),
    ("open|close|lock", "the", "front|back|garage", "door|window"),
    ("what", "time|day", "is", "it"),
    ("turn", "the", "volume|heating", "up|down", "by", "DIGIT"),
    ("call", "home|mother|father|the office"),
    ("read", "my", "messages|mail|calendar"),
    ("go", "to", "channel|page|track", "DIGIT", "DIGIT"),
)
SOURCES = {"digits": ("digits",), "commands": ("commands",), "digits+commands": ("digits", "commands")}

# As `soundfile.write` takes them, by the suffix of the file.
ENCODINGS: dict[str, dict[str, Any]] = {
    ".flac": {"format": "FLAC", "subtype": "PCM_16"},
    # Quality 0.6: 25 MB per hour, where FLAC needs 67. Opus at 13 MB changes the log-mel features more and takes ten
    # times as long to encode.
    ".ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.4},
}


@dataclass(frozen=True)
class Block:
    """Utterances `numbers` of a subset, which one process synthesises."""

    source: str
    folder: Path
    config: SyntheticConfig
    subset: str
    numbers: range
    lines: tuple[str, ...] = ()  # of a text file, one per utterance; empty: random sentences
    keep: bool = False  # the existing recordings, if all exist

    @property
    def suffix(self) -> str:
        """The recordings' suffix: those of text files are compressed, as they are for many hours."""
        return ".ogg" if self.lines else ".flac"

    def text(self, number: int, random: np.random.Generator) -> str:
        """The text of utterance `number`."""
        if self.lines:
            return self.lines[number - self.numbers.start]
        return sentence(str(random.choice(SOURCES[self.source])), random)


def generate(source: str, folder: Path, config: SyntheticConfig) -> Iterator[Candidate]:
    """Synthesise the corpus into `folder`/{train,dev,test}/ on all cores, yielding utterances as they are written.

    `source` selects the sentences: 'digits' (1 to 7 in a row), 'commands', or 'digits+commands' (half of each), as
    FLAC; or a text file (.txt, .txt.gz, .txt.xz), of which each utterance is another line, as Ogg Vorbis. Raises
    `ManifestError` for another source and for a file that `choose_sentences` cannot use.
    """
    is_file = source.endswith(SUFFIXES)
    if not is_file and source not in SOURCES:
        raise ManifestError(
            f"synthetic corpus '{source}': unknown; SOURCE is one of {', '.join(SOURCES)}, or a text file "
            f"whose name ends in {', '.join(SUFFIXES)}"
        )
    require("espeakng_loader")  # which both engines need, here rather than in the processes below
    counts = {"train": config.train, "dev": config.dev, "test": config.test}
    lines = choose_sentences(Path(source), counts, config.seed) if is_file else dict.fromkeys(counts, ())
    for subset in counts:
        make_folder(folder / subset)
    keep = _same_settings(source, folder, config)
    size = ENGINES[config.engine].BLOCK
    blocks = [
        Block(source, folder, config, subset, numbers, tuple(lines[subset][numbers.start : numbers.stop]), keep)
        for subset, count in counts.items()
        for numbers in (range(start, min(start + size, count)) for start in range(0, count, size))
    ]
    # A new process for each block: see EspeakEngine.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for candidates in pool.map(speak_block, blocks):
            yield from candidates


def _same_settings(source: str, folder: Path, config: SyntheticConfig) -> bool:
    """Whether the folder's recordings were made with these settings, which are then stored there. The size of train
    does not matter: a larger set contains the utterances of a smaller one."""
    values = {"source": source, **dataclasses.asdict(dataclasses.replace(config, train=1))}
    settings, path = msgspec.json.format(msgspec.json.encode(values, enc_hook=str)), folder / SETTINGS
    same = path.exists() and path.read_bytes() == settings
    write_atomically(path, settings)
    return same


def speak_block(block: Block) -> list[Candidate]:
    """Synthesise and write the utterances of a block, unless all exist and may be kept. Needs a new process."""
    engine: Engine = ENGINES[block.config.engine](block.config)
    voices = split_voices(engine.voices(), block.config.seed)[block.subset]
    plans = [_plan(engine, block, number, voices) for number in block.numbers]
    if block.keep and all(candidate.audio.exists() for candidate, *_ in plans):
        return [candidate for candidate, *_ in plans]
    spoken = (_speak(engine, block, *plan) for plan in plans)
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(prefetch_map(_write, spoken, pool, WRITERS))


def _plan(engine: Engine, block: Block, number: int, voices: list[str]) -> tuple[Candidate, Any, np.random.Generator]:
    """Utterance `number` before synthesis: its candidate, its voice, and the generator for its room and noise."""
    random = np.random.default_rng((block.config.seed, *block.subset.encode(), number))
    text, voice = block.text(number, random), engine.draw(voices, random)
    name = f"{block.subset}-{number:05d}"
    path = block.folder / block.subset / f"{name}{block.suffix}"
    extra = {"synthetic": True, "accent": voice.accent}
    return Candidate(name, path, text, voice.speaker, block.subset, extra=extra), voice, random


def _speak(
    engine: Engine, block: Block, candidate: Candidate, voice: Any, random: np.random.Generator
) -> tuple[Candidate, np.ndarray]:
    clean = resample(engine.say(candidate.text, voice), engine.sample_rate, SAMPLE_RATE)
    return candidate, record(clean, block.config, random)


def _write(spoken: tuple[Candidate, np.ndarray]) -> Candidate:
    candidate, samples = spoken
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, SAMPLE_RATE, **ENCODINGS[candidate.audio.suffix])
    write_atomically(candidate.audio, encoded.getvalue())
    return candidate


def sentence(kind: str, random: np.random.Generator) -> str:
    """A random sentence in lower case: `seven three` or `turn off the hall light`."""
    if kind == "digits":
        return " ".join(random.choice(DIGITS, size=random.integers(1, 8)))
    pattern = COMMANDS[random.integers(len(COMMANDS))]
    words = (DIGITS if slot == "DIGIT" else slot.split("|") for slot in pattern)
    return " ".join(str(random.choice(choices)) for choices in words)


def split_voices(names: list[str], seed: int) -> dict[str, list[str]]:
    """Voices for train (70%), dev (10%) and test (20%); families (names that differ by a number) stay together."""
    families = defaultdict(list)
    for name in sorted(names):
        families[re.sub(r"(?<=\w{2})\d+$", "", name).lower()].append(name)
    order = sorted(families)
    np.random.default_rng((seed, 7)).shuffle(order)
    split = {"test": [], "dev": [], "train": []}
    limits = {"test": 0.2 * len(names), "dev": 0.1 * len(names), "train": float("inf")}
    for family in order:
        part = next(part for part in split if len(split[part]) + len(families[family]) <= limits[part])
        split[part] += families[family]
    return split


def record(speech: np.ndarray, config: SyntheticConfig, random: np.random.Generator) -> np.ndarray:
    """A recording `(samples,)` of clean `speech` `(samples,)`: with silence around it, perhaps reverberation and noise,
    and a random level."""
    before, after = (np.zeros(random.integers(800, 6400), np.float32) for _ in range(2))
    sound = np.concatenate([before, speech, after])
    power = float(np.mean(speech**2)) or 1.0
    if random.random() < config.reverberation_share:
        sound = reverberate(sound, random.uniform(0.1, 0.4), 0.5, SAMPLE_RATE, random)
    if random.random() < config.noise_share:
        noise = coloured_noise(len(sound), random.uniform(0, 2), SAMPLE_RATE, random)
        sound = sound + noise * np.sqrt(power / 10 ** (random.uniform(10, 30) / 10))
    return sound * (random.uniform(0.1, 0.9) / max(1e-9, float(np.abs(sound).max())))
