"""Free Spoken Digit Dataset (Jackson 2016).

recordings/DIGIT_SPEAKER_INDEX.wav    indices 0 to 4 are the test set, by the corpus's own rule
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read(source: Path) -> Iterator[Candidate]:
    """Candidates in the official subsets train and test, which share speakers; texts are digits as words."""
    check_layout(source, "fsdd", "recordings")
    recordings = find_audio(source / "recordings")
    if not recordings:
        raise not_in_layout(source, "fsdd", "recordings/DIGIT_SPEAKER_INDEX.wav")
    for recording in recordings:
        name = re.fullmatch(r"([0-9])_(.+)_([0-9]+)", recording.stem)
        if name:
            digit, speaker, index = name.groups()
            subset = "test" if int(index) < 5 else "train"
            yield Candidate(recording.stem, recording, WORDS[int(digit)], speaker, subset)
        else:
            problem = "no digit, speaker and index in the name; the layout is DIGIT_SPEAKER_INDEX.wav"
            yield Candidate(recording.stem, recording, "", problem=problem)
