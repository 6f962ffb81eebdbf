"""One run of `asr align`: a sound file and a text file -> times of its words, in files or as text."""

from dataclasses import dataclass
from pathlib import Path

from asr.decoding.config import DecoderConfig
from asr.errors import one_line
from asr.output.formats import Outputs
from asr.recognition.config import AlignConfig
from asr.recognition.forced_alignment import Alignment, align_recording
from asr.recognition.recognizer import Recognizer


@dataclass(frozen=True)
class AlignedFile:
    """An alignment, and what standard output gets."""

    alignment: Alignment
    output: str  # the alignment itself, or the names of the files that were written, one per line


def align_file(sound: Path, text: Path, model: Path, folder: Path | None, config: AlignConfig) -> AlignedFile:
    """Align a text with a recording and write it into `folder`, if there is one, in each format.

    Raises an `AsrError` naming the file or option that cannot be used, `OSError` naming the file for a full disk.
    """
    name = str(sound)
    outputs = Outputs([name], config.format, folder, str(model), {"decoder": "forced alignment"}, [model, text])
    recognizer = Recognizer.load(model, config.device, DecoderConfig(decoder="greedy"), voice_activity=False)
    found = align_recording(recognizer, sound, text, config)
    if folder is None:
        return AlignedFile(found, outputs.text(name, found.transcript))
    paths = outputs.write(name, found.transcript)
    return AlignedFile(found, "".join(f"{one_line(str(path))}\n" for path in paths))
