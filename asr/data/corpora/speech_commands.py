"""Speech Commands (Warden 2018): single words.

    WORD/SPEAKER_nohash_N.wav
    validation_list.txt, testing_list.txt    lines of the form `WORD/SPEAKER_nohash_N.wav`; all others are training data

_background_noise_ is for mixing, not speech, and is left out.
"""

from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout, read_lines

LISTS = {"validation_list.txt": "dev", "testing_list.txt": "test"}
NOISE = "_background_noise_"


def read(source: Path) -> Iterator[Candidate]:
    """Candidates in the official subsets train, dev and test; the speaker is the hash in the file's name."""
    check_layout(source, "speech_commands", *LISTS)
    subset_of = {name: subset for list, subset in LISTS.items() for name in read_lines(source / list)}
    recordings = [recording for recording in find_audio(source) if recording.relative_to(source).parts[0] != NOISE]
    if not recordings:
        raise not_in_layout(source, "speech_commands", "WORD/SPEAKER_nohash_N.wav")
    for recording in recordings:
        name = recording.relative_to(source).as_posix()
        yield _candidate(recording, name, subset_of.pop(name, "train"))
    for name, subset in subset_of.items():
        problem = "no recording; it is in the list of its subset, so copy it from the corpus again"
        yield _candidate(source / name, name, subset, problem)


def _candidate(recording: Path, name: str, subset: str, problem: str = "") -> Candidate:
    word = name.partition("/")[0]
    speaker, marked, _ = recording.stem.partition("_nohash_")
    if not marked:
        problem = problem or "no speaker in the name; the layout is WORD/SPEAKER_nohash_N.wav"
    return Candidate(f"{word}/{recording.stem}", recording, word, speaker if marked else "", subset, problem=problem)
