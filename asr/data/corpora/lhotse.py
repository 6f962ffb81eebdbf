"""Lhotse's manifests (https://lhotse.readthedocs.io), read by the library itself.

*cuts*.jsonl.gz                                    a CutSet; also .jsonl, .json and .yaml
*recordings*.jsonl.gz, *supervisions*.jsonl.gz     or both of these, named alike

SOURCE is the folder of such files, each a subset, or one file of cuts. Paths in them are relative to it or to the
working folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.local_copy import local_copy

KINDS = (".jsonl.gz", ".jsonl", ".json", ".yaml", ".json.gz", ".yaml.gz")
ROUNDING = 0.001  # seconds


def read(source: Path) -> Iterator[Candidate]:
    """A candidate per supervision; the id is the supervision's.

    Raises `ManifestError` for a file that Lhotse cannot read or that holds no cuts.
    """
    if not storage.is_file(source):
        check_layout(source, "lhotse")
    found = _cut_sets(source)
    import lhotse

    for paths in found:
        try:
            manifests = [lhotse.load_manifest(local_copy(path)) for path in paths]
            cuts = manifests[0] if len(paths) == 1 else lhotse.CutSet.from_manifests(*manifests)
            if not isinstance(cuts, lhotse.CutSet):
                raise ValueError(f"holds a {type(cuts).__name__}, not a CutSet; give the folder with all manifests")
            subset = _subset(paths[0])
            for cut in cuts:
                for supervision in cut.supervisions:
                    yield _candidate(cut, supervision, subset, paths[0].parent)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
            raise ManifestError(f"{paths[0]}: Lhotse cannot read it ({error})") from error


def _cut_sets(source: Path) -> list[list[Path]]:
    """The files of each CutSet: one of cuts, or one of recordings and one of supervisions."""
    if storage.is_file(source):
        return [[source]]
    paths = [path for path in storage.files_in(source) if path.name.endswith(KINDS)]
    if cuts := [[path] for path in paths if "cuts" in path.name]:
        return cuts
    names = [path.name.replace("recordings", "supervisions") for path in paths]
    pairs = [
        [path, path.with_name(name)]
        for path, name in zip(paths, names, strict=True)
        if name != path.name and path.with_name(name) in paths
    ]
    if not pairs:
        raise not_in_layout(source, "lhotse", "cuts.jsonl.gz", "recordings.jsonl.gz with supervisions.jsonl.gz")
    return pairs


def _subset(path: Path) -> str:
    stem = re.sub(r"cuts|recordings", "", path.name.partition(".")[0])
    return re.sub(r"[_-]+", "_", stem).strip("_") or "all"


def _candidate(cut: Any, supervision: Any, subset: str, folder: Path) -> Candidate:
    text, speaker = supervision.text or "", supervision.speaker or ""
    problem = _problem(cut, supervision)
    if problem:
        return Candidate(supervision.id, folder / cut.id, text, speaker, subset, problem=problem)
    recording = cut.recording
    (origin,) = recording.sources
    audio = storage.join(folder, origin.source)
    if origin.type == "file" and not storage.is_file(audio):
        audio = Path(origin.source).absolute()
    start = cut.start + max(0.0, supervision.start)
    end = cut.start + min(cut.duration, supervision.end)
    is_whole = start < ROUNDING and end > recording.duration - ROUNDING
    known = {"language": supervision.language, "gender": supervision.gender}
    return Candidate(
        supervision.id,
        audio,
        text,
        speaker,
        subset,
        offset=0.0 if is_whole else start,
        duration=None if is_whole else end - start,
        claimed_duration=recording.duration if is_whole else None,
        extra={key: value for key, value in known.items() if value},
    )


def _problem(cut: Any, supervision: Any) -> str:
    """Why the speech of a cut is no part of a sound file, or an empty string."""
    recording = getattr(cut, "recording", None)
    if recording is None:
        return "a mixed or padded cut; save its audio with Lhotse (`cuts.save_audios`) and give those cuts"
    if len(recording.sources) != 1 or recording.sources[0].type not in ("file", "url"):
        return "audio that is not in one file; save it with Lhotse (`cuts.save_audios`) and give those cuts"
    if recording.transforms:
        return "audio that Lhotse transforms; save it with Lhotse (`cuts.save_audios`) and give those cuts"
    channels = {supervision.channel} if isinstance(supervision.channel, int) else set(supervision.channel)
    if channels != set(recording.sources[0].channels):
        return "one channel of several; save it with Lhotse (`cuts.save_audios`) and give those cuts"
    return ""
