"""LibriSpeech (Panayotov et al. 2015) and corpora in its layout, such as mini LibriSpeech.

SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt    lines of the form `ID TEXT`
SUBSET/SPEAKER/CHAPTER/ID.flac                      or another sound suffix
"""

import dataclasses
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, find_files, not_in_layout, pair, read_keyed
from asr.errors import ConfigError, ManifestError
from asr.utils import storage

SUBSETS = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
)


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of all subsets below `source`: a folder of subsets, one subset, or a part of one.

    Speakers are the corpus's own numbers. Raises `ManifestError` if there is no transcript file at all.
    """
    check_layout(source, "librispeech")
    source = storage.resolved(source)
    transcripts, recordings = defaultdict(list), defaultdict(list)
    for path in find_files(source, ".trans.txt"):
        transcripts[path.parent] += read_keyed(path)
    if not transcripts:
        raise not_in_layout(source, "librispeech", "SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt")
    for path in find_audio(source):
        recordings[path.parent].append(path)
    for chapter in sorted(transcripts.keys() | recordings.keys()):
        speaker = chapter.parent
        for candidate in pair(recordings[chapter], transcripts[chapter], chapter):
            yield dataclasses.replace(candidate, speaker=speaker.name, subset=speaker.parent.name)


def download(source: Path) -> Path:
    """Download the official subset named by `source` (FOLDER/SUBSET); return its folder, FOLDER/LibriSpeech/SUBSET.

    torchaudio downloads from openslr.org and verifies the checksum. An existing subset is not downloaded again. Raises
    `ConfigError` for a name that is not official, `ManifestError` if the network or the disk fails.
    """
    if source.name not in SUBSETS:
        raise ConfigError(
            f"--download: '{source.name}' is not an official LibriSpeech subset; "
            f"let SOURCE end in one of {', '.join(SUBSETS)}"
        )
    subset = source.parent / "LibriSpeech" / source.name
    if subset.is_dir():
        return subset
    try:
        subset.parent.mkdir(parents=True, exist_ok=True)
        # Unpacked elsewhere, so that an interrupted run leaves no part that looks like the whole subset.
        aside = source.parent / f".asr-{source.name}"
        shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
        try:
            aside.mkdir()
            _fetch(aside, source.name)
            os.replace(aside / "LibriSpeech" / source.name, subset)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ManifestError(
            f"{subset}: cannot be downloaded ({reason}); check the network and the disk, "
            f"or unpack {source.name}.tar.gz from openslr.org/12 into {source.parent} yourself"
        ) from error
    return subset


def _fetch(root: Path, subset: str) -> None:
    from torchaudio.datasets import LIBRISPEECH

    LIBRISPEECH(root, url=subset, download=True)
