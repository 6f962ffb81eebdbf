"""Data sets of Hugging Face's `datasets` package: a name on the Hub, a folder (its own format, Parquet, or recordings
with a metadata file), or a Parquet file.

Recordings inside the data set are written into files as they are, without decoding.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.data.config import HuggingfaceConfig
from asr.data.corpora.base import Candidate
from asr.data.corpora.table import SPEAKER
from asr.data.manifest_lines import FIELDS, speaker_name
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.files import write_atomically

OWN_FORMAT = ("state.json", "dataset_dict.json")  # marks of a folder that `save_to_disk` wrote


def read(source: Path, folder: Path, config: HuggingfaceConfig) -> Iterator[Candidate]:
    """Candidates of one subset, named like the split; recordings that the data set contains are written into `folder`.

    Raises `ManifestError` when there is no such data set, split, text column, or no audio.
    """
    import datasets

    data = _load(source, config.split)
    audio = next((name for name, kind in data.features.items() if isinstance(kind, datasets.Audio)), None)
    columns = f"its columns are {', '.join(data.features)}"
    if audio is None:
        raise ManifestError(f"{source}: no column with audio; {columns}")
    if config.text_column not in data.features:
        raise ManifestError(
            f"{source}: no column '{config.text_column}'; {columns}: name one with --huggingface.text_column"
        )
    subset = re.sub(r"\W+", "-", config.split).strip("-")
    for number, row in enumerate(data.cast_column(audio, datasets.Audio(decode=False))):
        recording, text = row[audio], row[config.text_column]
        id = str(row.get("id") or f"{subset}-{number:08d}")
        try:
            path = _file(recording or {}, folder / subset, number)
        except ValueError as error:
            yield Candidate(id, folder / id, text or "", subset=subset, problem=str(error))
            continue
        speaker = next((row[name] for name in SPEAKER if row.get(name) not in (None, "")), None)
        used = {*FIELDS, *SPEAKER, audio, config.text_column}
        extra = {key: value for key, value in row.items() if key not in used and isinstance(value, str | int | float)}
        yield Candidate(id, path, text or "", speaker_name(speaker), subset, extra=extra)


def _load(source: Path, split: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        name = storage.shown(source)
        if any(storage.is_file(source / mark) for mark in OWN_FORMAT):
            data = datasets.load_from_disk(name)
            return data[split] if isinstance(data, datasets.DatasetDict) else data
        if storage.is_url(source) or source.suffix == ".parquet":
            part = re.split(r"\W", split)[0]
            tables = [name] if source.suffix == ".parquet" else storage.glob(f"{name}/**/{part}*.parquet")
            if not tables:
                raise FileNotFoundError(f"no {part}*.parquet there")
            return datasets.load_dataset("parquet", data_files={part: tables}, split=split)
        return datasets.load_dataset(name, split=split)
    except Exception as error:  # of the many kinds that the package, its readers and the Hub's client raise
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ManifestError(f"{source}: `datasets` cannot load the split '{split}' ({reason})") from error


def _file(recording: dict[str, Any], folder: Path, number: int) -> Path:
    if recording.get("bytes"):
        name = Path(recording.get("path") or "").name or "audio.wav"
        return write_atomically(folder / f"{number:08d}-{name}", recording["bytes"])
    if not recording.get("path"):
        raise ValueError("no recording; the row holds neither audio nor a path")
    return Path(recording["path"])
