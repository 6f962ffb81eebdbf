"""Common Voice (Ardila et al. 2020): one language's folder.

train.tsv, dev.tsv, test.tsv    columns client_id, path, sentence and more, found by their names in the header
clips/PATH                      mp3; PATH has no suffix in old releases
"""

from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import SUFFIXES
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout, numbered_lines
from asr.errors import ManifestError
from asr.utils import storage

SUBSETS = ("train", "dev", "test")
COLUMNS = ("client_id", "path", "sentence")
KEPT = ("age", "gender", "accent", "accents")


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of the official subsets, or of validated.tsv if a release has none of them.

    The speaker is the `client_id`; age, gender and accents are kept where the speaker gave them. Raises
    `ManifestError` for a folder without clips/ or lists, and for a list without the needed columns.
    """
    check_layout(source, "common_voice", "clips")
    subsets = [name for name in SUBSETS if storage.is_file(source / f"{name}.tsv")]
    if not subsets and not storage.is_file(source / "validated.tsv"):
        raise not_in_layout(source, "common_voice", "train.tsv, dev.tsv, test.tsv or validated.tsv")
    for subset in subsets or ["validated"]:
        yield from _read_list(source / f"{subset}.tsv", source / "clips")


def _read_list(path: Path, clips: Path) -> Iterator[Candidate]:
    # Not by the csv module: quotation marks in sentences are plain text here.
    rows = [(number, line.split("\t")) for number, line in numbered_lines(path)]
    header = rows[0][1] if rows else []
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ManifestError(f"{path}: no column {', '.join(missing)} in its header; is it a list of Common Voice?")
    for number, row in rows[1:]:
        if len(row) == len(header):
            yield _candidate(dict(zip(header, row, strict=True)), clips, path.stem)
        else:
            problem = f"broken row: {len(row)} fields where the header has {len(header)}; fix {path.name}"
            yield Candidate(f"{path.name}:{number}", path, "\t".join(row), subset=path.stem, problem=problem)


def _candidate(row: dict[str, str], clips: Path, subset: str) -> Candidate:
    audio = clips / row["path"]
    if audio.suffix.lower() not in SUFFIXES:
        audio = clips / f"{row['path']}.mp3"
    extra = {name: row[name] for name in KEPT if row.get(name)}
    return Candidate(audio.stem, audio, row["sentence"], row["client_id"], subset, extra=extra)
