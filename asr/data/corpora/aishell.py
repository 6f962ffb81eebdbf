"""AISHELL-1 (Bu et al. 2017): Mandarin.

    data_aishell/transcript/aishell_transcript_v0.8.txt    lines of the form `ID TEXT`, spaces between words
    data_aishell/wav/SUBSET/SPEAKER/ID.wav                 SUBSET is train, dev or test

Some hundred recordings of the official release have no transcript; they are rejected and counted as such.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout, pair, read_keyed
from asr.utils import storage

TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of the official subsets below `source`: data_aishell, or the folder that contains it.

    Spaces are removed from the transcripts, as Mandarin is written without them.
    """
    source = source / "data_aishell" if storage.is_folder(source / "data_aishell") else source
    check_layout(source, "aishell", TRANSCRIPT, "wav")
    recordings = find_audio(source / "wav")
    if not recordings:
        raise not_in_layout(source, "aishell", "wav/SUBSET/SPEAKER/ID.wav (are the speakers' archives unpacked?)")
    transcripts = [(id, "".join(text.split())) for id, text in read_keyed(source / TRANSCRIPT)]
    for candidate in pair(recordings, transcripts, source / "wav"):
        speaker = candidate.audio.parent
        yield dataclasses.replace(candidate, speaker=speaker.name, subset=speaker.parent.name)
