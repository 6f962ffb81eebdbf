"""The embedded corpus: connected digits, household commands or the lines of a text file, spoken by espeak-ng (formant
synthesis, no recordings).

For trying the program and testing it, and for many hours of reading to begin training on. A model of this speech alone
knows nothing of human voices.

espeak-ng comes with its data in the wheel `espeakng-loader`; its library is called through ctypes. Every choice
follows from the seed and the utterance's number; train, dev and test share no voice, nor voices of one family
("klatt" and "klatt2" are one).
"""

import ctypes
import functools
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile

from asr.acoustics import coloured_noise, reverberate
from asr.ahead import mapped_ahead
from asr.audio import resample
from asr.corpora.base import Candidate
from asr.corpora.sentences import SUFFIXES, choose_sentences
from asr.errors import ManifestError
from asr.files import make_folder, write_atomically
from asr.options import SyntheticConfig

SAMPLE_RATE = 16000  # hertz, of the files written
BLOCK = 500  # utterances that one process speaks
WRITERS = 8  # threads: each waits for the disk
ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",  # British
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
# Not the voice of a person who speaks: a speed experiment, effects that hide the words, whispers and robots.
EXCLUDED_VOICES = re.compile(r"fast|Demonic|croak|whisperf?|.*Robot|robosoft\d*")

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
ENCODINGS = {
    ".flac": {"format": "FLAC", "subtype": "PCM_16"},
    # Quality 0.6: 25 MB for an hour, where FLAC needs 67. Opus at 13 MB changes the log-mel features more and takes ten
    # times as long to encode.
    ".ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.4},
}


@dataclass(frozen=True)
class Block:
    """Utterances `numbers` of a subset, for a process that has not spoken yet."""

    source: str
    folder: Path
    config: SyntheticConfig
    subset: str
    numbers: range
    lines: tuple[str, ...] = ()  # of a text file, one an utterance; none: sentences are made up

    @property
    def suffix(self) -> str:
        """Of the recordings: reading is for many hours, and kept small."""
        return ".ogg" if self.lines else ".flac"

    def text(self, number: int, random: np.random.Generator) -> str:
        """What utterance `number` says."""
        if self.lines:
            return self.lines[number - self.numbers.start]
        return sentence(str(random.choice(SOURCES[self.source])), random)


def generate(source: str, folder: Path, config: SyntheticConfig) -> Iterator[Candidate]:
    """Speak the corpus into `folder`/{train,dev,test}/ on all cores, yielding utterances as they are written.

    `source` chooses the sentences: 'digits' (1 to 7 in a row), 'commands', or 'digits+commands' (half of each), kept
    as FLAC; or a text file (.txt, .txt.gz, .txt.xz), of which each utterance reads another line, kept as Ogg Vorbis.
    Raises `ManifestError` for another source and for a file that `choose_sentences` cannot use.
    """
    is_file = source.endswith(SUFFIXES)
    if not is_file and source not in SOURCES:
        raise ManifestError(
            f"synthetic corpus '{source}': not known; SOURCE is one of {', '.join(SOURCES)}, or a text file by its "
            f"name, which must end in {', '.join(SUFFIXES)}"
        )
    counts = {"train": config.train, "dev": config.dev, "test": config.test}
    lines = choose_sentences(Path(source), counts, config.seed) if is_file else dict.fromkeys(counts, ())
    for subset in counts:
        make_folder(folder / subset)
    blocks = [
        Block(source, folder, config, subset, numbers, tuple(lines[subset][numbers.start : numbers.stop]))
        for subset, count in counts.items()
        for numbers in (range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
    ]
    # espeak-ng keeps state from one sentence to the next that nothing resets: only a new process for each block
    # makes a recording the same whatever was spoken before.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for candidates in pool.map(speak_block, blocks):
            yield from candidates


def speak_block(block: Block) -> list[Candidate]:
    """Write the utterances of a block, in a process that has not spoken yet."""
    speaker = Espeak()
    voices = split_voices(speaker.voices(), block.config.seed)[block.subset]
    spoken = (_speak(speaker, block, number, voices) for number in block.numbers)
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(mapped_ahead(_write, spoken, pool, WRITERS))


def _speak(speaker: "Espeak", block: Block, number: int, voices: list[str]) -> tuple[Candidate, np.ndarray]:
    random = np.random.default_rng((block.config.seed, *block.subset.encode(), number))
    text = block.text(number, random)
    voice, accent = str(random.choice(voices)), str(random.choice(ACCENTS))
    rate, pitch = int(random.integers(110, 191)), int(random.integers(30, 71))
    clean = speaker.say(text, f"{accent}+{voice}", words_per_minute=rate, pitch=pitch)
    name = f"{block.subset}-{number:05d}"
    path = block.folder / block.subset / f"{name}{block.suffix}"
    candidate = Candidate(name, path, text, voice, block.subset, extra={"synthetic": True, "accent": accent})
    return candidate, record(resample(clean, speaker.sample_rate, SAMPLE_RATE), block.config, random)


def _write(spoken: tuple[Candidate, np.ndarray]) -> Candidate:
    candidate, samples = spoken
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, SAMPLE_RATE, **ENCODINGS[candidate.audio.suffix])
    write_atomically(candidate.audio, encoded.getvalue())
    return candidate


def sentence(kind: str, random: np.random.Generator) -> str:
    """One random sentence, lower case: `seven three` or `turn off the hall light`."""
    if kind == "digits":
        return " ".join(random.choice(DIGITS, size=random.integers(1, 8)))
    pattern = COMMANDS[random.integers(len(COMMANDS))]
    words = (DIGITS if slot == "DIGIT" else slot.split("|") for slot in pattern)
    return " ".join(str(random.choice(choices)) for choices in words)


def split_voices(names: list[str], seed: int) -> dict[str, list[str]]:
    """Voices for train (70%), dev (10%) and test (20%); families, names that differ by a number, stay together."""
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
    """What a microphone in a room would hear of clean `speech` `(samples,)`: silence around it, perhaps an echoing
    room and noise, at a level that differs from one recording to the next."""
    before, after = (np.zeros(random.integers(800, 6400), np.float32) for _ in range(2))
    sound = np.concatenate([before, speech, after])
    power = float(np.mean(speech**2)) or 1.0
    if random.random() < config.reverberation_share:
        sound = reverberate(sound, random.uniform(0.1, 0.4), 0.5, SAMPLE_RATE, random)
    if random.random() < config.noise_share:
        noise = coloured_noise(len(sound), random.uniform(0, 2), SAMPLE_RATE, random)
        sound = sound + noise * np.sqrt(power / 10 ** (random.uniform(10, 30) / 10))
    return sound * (random.uniform(0.1, 0.9) / max(1e-9, float(np.abs(sound).max())))


class Espeak:
    """The espeak-ng library, which keeps one state for the whole process."""

    def __init__(self):
        self._library, self.sample_rate = _start_library()

    def voices(self) -> list[str]:
        """Names of the voice variants."""
        import espeakng_loader

        folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        return sorted(path.name for path in folder.iterdir() if not EXCLUDED_VOICES.fullmatch(path.name))

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        """Speak `text`: `(samples,)` float32 at `sample_rate`. `pitch` is 0 to 99, 50 being the voice's own."""
        return self.say_words(text, voice, words_per_minute, pitch)[0]

    def say_words(
        self, text: str, voice: str, words_per_minute: int, pitch: int
    ) -> tuple[np.ndarray, list[tuple[str, float]]]:
        """As `say`, and each word with the second at which it begins.

        The synthesiser may speak words as one that belong together ("off the").
        """
        library, pieces, words = self._library, [], []

        @_CALLBACK
        def collect(samples, count, events):
            if count > 0:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
            event = 0
            while events[event].type != _LIST_ENDS:
                if events[event].type == _WORD:
                    first = events[event].text_position - 1
                    words.append((text[first : first + events[event].length], events[event].sample / self.sample_rate))
                event += 1
            return 0

        # Breath and noise are random; without this their seed is the time of day.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.espeak_SetSynthCallback(collect)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ManifestError(f"espeak-ng has no voice '{voice}'; is espeakng-loader installed whole?")
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32), words


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _RATE, _PITCH, _UTF8, _LIST_ENDS, _WORD = 2, 1, 3, 1, 0, 1  # constants of speak_lib.h


@functools.cache
def _start_library() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if sample_rate <= 0:
        raise ManifestError("espeak-ng does not start; is espeakng-loader installed whole?")
    return library, sample_rate
