"""Recordings without transcripts -> a manifest of those that a model transcribes with confidence, to train on
(self-training with a language model, Kahn et al. 2020).

    python pseudo_label.py clips/ -o pseudo/clips-train.jsonl

Repeat with the model that was trained on the result: each round transcribes all clips again.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from asr.audio.io import find_audio, probe
from asr.data.manifest import Utterance, write_manifest
from asr.errors import AsrError, ConfigError
from asr.pretrained import ENGLISH
from asr.recognition.batch import recognize_utterances
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils.messages import tell


@dataclass(frozen=True)
class Options:
    """Transcribe recordings and keep the confident transcripts."""

    #: Folder with recordings, searched recursively.
    clips: Annotated[Path, tyro.conf.Positional]
    #: Manifest to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Lowest mean confidence of a transcript's words, 0 to 1.
    confidence: float = 0.7
    #: Fewest words of a transcript.
    words: int = 2
    #: Longest recording in seconds.
    seconds: float = 20.0
    #: Seconds of audio that are recognised at once.
    batch_seconds: float = 120.0


def confidence(transcript: Transcript) -> float:
    """The mean over the words; 0 without any."""
    return statistics.fmean(word.confidence for word in transcript.words) if transcript.words else 0.0


def main(options: Options) -> None:
    """Transcribe, choose, write. Recordings that cannot be read are named, and the exit status is 1."""
    paths = find_audio(options.clips) if options.clips.is_dir() else []
    if not paths:
        raise ConfigError(f"{options.clips}: no recordings in it; give a folder with sound files")
    names = [path.relative_to(options.clips).with_suffix("").as_posix() for path in paths]
    clips = [Utterance(name, path, probe(path).duration, "") for name, path in zip(names, paths, strict=True)]
    short = [clip for clip in clips if clip.duration <= options.seconds]
    found = recognize_utterances(Recognizer.load(options.model), short, options.batch_seconds)
    kept = []
    for clip, transcript in found.pairs:
        if (score := confidence(transcript)) >= options.confidence and len(transcript.words) >= options.words:
            extra = {"pseudo_label": options.model.name, "confidence": round(score, 3)}
            kept.append(Utterance(clip.id, clip.audio_filepath, clip.duration, transcript.text, extra=extra))
    for id, reason in found.failures:
        tell(f"{id}: {reason}")
    if not kept:
        raise ConfigError(f"{options.clips}: no transcript has a confidence of {options.confidence:g}; lower it")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(options.output, kept)
    hours = sum(clip.duration for clip in kept) / 3600
    tell(f"{options.output}: {len(kept)} of {len(clips)} recordings, {hours:.2f} h; {len(found.failures)} unreadable")
    if found.failures:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except AsrError as error:
        sys.exit(f"error: {error}")
