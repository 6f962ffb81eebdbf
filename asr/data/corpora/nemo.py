"""NeMo's manifests (https://docs.nvidia.com/nemo-framework): JSON Lines, with recordings in files or in tar files.

A line with a `shard_id` is of a tarred data set: its recording is in audio_SHARD.tar beside the manifest, and is
extracted. Other paths are relative to the manifest or to a root folder.
"""

import dataclasses
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.data.config import NemoConfig
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import numbered_lines
from asr.data.corpora.table import to_candidate
from asr.data.manifest_lines import decode_record
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.files import replacing


def read(source: Path, folder: Path, config: NemoConfig) -> Iterator[Candidate]:
    """Candidates of one subset, named like the file; recordings of tar files are extracted into `folder`."""
    if source.suffix.lower() not in (".json", ".jsonl"):
        raise ManifestError(f"{source}: not a NeMo manifest; give a file that ends in .json or .jsonl")
    extracted: dict[Any, dict[str, Path]] = {}
    for number, line in numbered_lines(source):
        try:
            record = decode_record(line)
            candidate = to_candidate(record, source)
            shard = record.get("shard_id")
            if shard is not None and shard not in extracted:
                extracted[shard] = _extract(source.with_name(f"audio_{shard}.tar"), folder / f"audio_{shard}")
            if shard is not None:
                audio = _member(record["audio_filepath"], extracted[shard])
            else:
                audio = _locate(record, candidate.audio, config.root)
            yield dataclasses.replace(candidate, audio=audio)
        except ValueError as error:
            yield Candidate(f"{source.name}:{number}", source, line, subset=source.stem, problem=str(error))


def _locate(record: dict[str, Any], audio: Path, root: Path | None) -> Path:
    """A path relative to the manifest or, if there is nothing, to the root."""
    if root is None or storage.is_file(audio):
        return audio
    name = next(record[key] for key in ("audio_filepath", "path", "audio", "file") if key in record)
    return storage.join(root, name)


def _extract(tar: Path, folder: Path) -> dict[str, Path]:
    """Extract a tar file; the files by name. Raises `ManifestError` naming one that cannot be read."""
    files = {}
    try:
        with storage.open_binary(tar) as stream, tarfile.open(fileobj=stream) as archive:
            for member in archive:
                # By name alone: a path in an archive may lead anywhere.
                name = Path(member.name).name
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or not name:
                    continue
                with replacing(folder / name) as output:
                    shutil.copyfileobj(content, output)
                files[name] = folder / name
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{storage.shown(tar)}: {reason}; it should hold recordings of this manifest") from error
    return files


def _member(name: str, files: dict[str, Path]) -> Path:
    """The file of a line. Lines about further parts of a recording name it with `-sub1` and so on."""
    name = Path(name).name
    for wanted in (name, re.sub(r"-sub\d+(?=\.\w+$)", "", name)):
        if wanted in files:
            return files[wanted]
    raise ValueError(f"no recording: '{name}' is not in the tar file of its shard")
