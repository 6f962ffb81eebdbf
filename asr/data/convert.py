"""A manifest -> the formats of other toolkits: Lhotse, Kaldi, NeMo and Hugging Face's `datasets`."""

import io
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import soundfile

from asr.audio.io import load_audio, probe
from asr.data.manifest import read_manifest
from asr.data.shards import read_sound
from asr.data.utterances import Utterance
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.files import make_folder, replacing, write_together
from asr.utils.progress import track


def convert(manifest: Path, output: Path, to: str) -> list[Path]:
    """Write the utterances of a manifest into the folder `output` in a format of `FORMATS`; the files written.

    Raises `ManifestError` for a manifest that cannot be read, or names that the format cannot hold, `AudioError` for a
    recording that cannot be read.
    """
    utterances = read_manifest(manifest)
    if to != "huggingface" and any(utterance.byte_range for utterance in utterances):
        raise ManifestError(f"{manifest}: its recordings are in tar shards, not files; give a manifest without shards")
    make_folder(output)
    return FORMATS[to](utterances, output, manifest.stem)


def to_kaldi(utterances: Sequence[Utterance], folder: Path, name: str) -> list[Path]:
    """A Kaldi data directory: wav.scp, text, utt2spk, spk2utt and, if any utterance is a part of a recording, segments.

    Kaldi wants the same order by utterance and by speaker, so an utterance's id begins with its speaker. Ids have
    underscores for white space. A speaker that is not known is the utterance itself.
    """
    ids = [_kaldi_id(utterance) for utterance in utterances]
    if repeated := [id for id, count in Counter(ids).items() if count > 1]:
        raise ManifestError(f"{folder}: the id '{repeated[0]}' would be used twice, as Kaldi's have no white space")
    in_parts = any(utterance.offset is not None for utterance in utterances)
    recordings = _recording_ids(utterances) if in_parts else {}
    tables: dict[str, dict[str, str]] = defaultdict(dict)
    speakers: dict[str, list[str]] = defaultdict(list)
    for id, utterance in zip(ids, utterances, strict=True):
        audio = _absolute(utterance)
        recording = recordings.get(audio, id)
        tables["wav.scp"][recording] = audio
        tables["text"][id] = " ".join(utterance.text.split())
        speaker = _joined(utterance.speaker) or id
        tables["utt2spk"][id] = speaker
        speakers[speaker].append(id)
        if in_parts:
            start = utterance.offset or 0.0
            tables["segments"][id] = f"{recording} {start:.4f} {start + utterance.duration:.4f}"
    tables["spk2utt"] = {speaker: " ".join(sorted(own, key=str.encode)) for speaker, own in speakers.items()}
    contents = {folder / name: _table(rows) for name, rows in tables.items()}
    write_together(contents)
    return list(contents)


def _kaldi_id(utterance: Utterance) -> str:
    id, speaker = _joined(utterance.id), _joined(utterance.speaker)
    return id if id.startswith(speaker) else f"{speaker}-{id}"


def _joined(text: str) -> str:
    return "_".join(text.split())


def _recording_ids(utterances: Sequence[Utterance]) -> dict[str, str]:
    """An id for each recording: its file name without suffix, with a number where several have the same."""
    ids: dict[str, str] = {}
    used: Counter = Counter()
    for utterance in utterances:
        audio = _absolute(utterance)
        if audio not in ids:
            stem = _joined(Path(audio).stem)
            used[stem] += 1
            ids[audio] = stem if used[stem] == 1 else f"{stem}-{used[stem]}"
    return ids


def _table(rows: dict[str, str]) -> str:
    lines = sorted((f"{key} {value}".rstrip() for key, value in rows.items()), key=str.encode)  # as LC_ALL=C sorts
    return "".join(f"{line}\n" for line in lines)


def to_nemo(utterances: Sequence[Utterance], folder: Path, name: str) -> list[Path]:
    """A NeMo manifest with absolute paths, and an offset on each line."""
    lines = []
    for utterance in utterances:
        record = {
            "audio_filepath": _absolute(utterance),
            "duration": utterance.duration,
            "offset": utterance.offset or 0.0,
            "text": utterance.text,
            "id": utterance.id,
            "speaker": utterance.speaker,
            **utterance.extra,
        }
        lines.append(msgspec.json.encode(record) + b"\n")
    path = folder / f"{name}.json"
    write_together({path: b"".join(lines)})
    return [path]


def to_lhotse(utterances: Sequence[Utterance], folder: Path, name: str) -> list[Path]:
    """Lhotse's recordings, supervisions and cuts, the names of which begin with the manifest's."""
    from lhotse import AudioSource, CutSet, MonoCut, MultiCut, Recording, RecordingSet, SupervisionSegment
    from lhotse.supervision import SupervisionSet

    recordings: dict[str, Any] = {}
    supervisions, cuts = [], []
    ids = _recording_ids(utterances)
    for utterance in track(utterances, "converting", len(utterances)):
        audio = _absolute(utterance)
        if audio not in recordings:
            info = probe(audio)
            channels = list(range(info.channels))
            kind = "url" if storage.is_url(audio) else "file"
            origin = AudioSource(kind, channels, audio)
            recordings[audio] = Recording(ids[audio], [origin], info.sample_rate, info.frames, info.duration, channels)
        recording = recordings[audio]
        channel = recording.channel_ids[0] if len(recording.channel_ids) == 1 else recording.channel_ids
        start = utterance.offset or 0.0
        duration = (
            recording.duration if utterance.offset is None else min(utterance.duration, recording.duration - start)
        )
        common = {"text": utterance.text, "speaker": utterance.speaker or None}
        common |= {key: utterance.extra[key] for key in ("language", "gender") if key in utterance.extra}
        supervisions.append(SupervisionSegment(utterance.id, recording.id, start, duration, channel, **common))
        within = SupervisionSegment(utterance.id, recording.id, 0.0, duration, channel, **common)
        kind = MonoCut if isinstance(channel, int) else MultiCut
        cuts.append(kind(utterance.id, start, duration, channel, [within], recording=recording))
    sets = {
        "recordings": RecordingSet.from_recordings(recordings.values()),
        "supervisions": SupervisionSet.from_segments(supervisions),
        "cuts": CutSet.from_cuts(cuts),
    }
    written = []
    for part, manifest in sets.items():
        path = folder / f"{name}_{part}.jsonl"
        lines = [msgspec.json.encode(item) + b"\n" for item in manifest.to_dicts()]
        write_together({path: b"".join(lines)})
        written.append(path)
    return written


def to_huggingface(utterances: Sequence[Utterance], folder: Path, name: str) -> list[Path]:
    """A Parquet file that contains the recordings, which `datasets.load_dataset(folder)` reads as the split `name`.

    Whole recordings are contained as they are, parts of recordings as FLAC.
    """
    import datasets

    # As plain values first: `datasets` adds rows with audio only where torchcodec and FFmpeg are installed.
    audio = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    texts = {key: datasets.Value("string") for key in ("id", "text", "speaker")}
    features = datasets.Features({"audio": audio, **texts, "duration": datasets.Value("float64")})
    datasets.disable_progress_bars()

    def rows() -> Iterator[dict[str, Any]]:
        for utterance in track(utterances, "converting", len(utterances)):
            values = {key: getattr(utterance, key) for key in ("id", "text", "speaker", "duration")}
            yield {"audio": _contained(utterance), **values}

    path = folder / f"{name}-00000-of-00001.parquet"
    with tempfile.TemporaryDirectory() as cache:
        data = datasets.Dataset.from_generator(rows, features=features, cache_dir=cache)
        with replacing(path) as stream:
            data.cast_column("audio", datasets.Audio()).to_parquet(stream)
    return [path]


def _contained(utterance: Utterance) -> dict[str, Any]:
    audio = utterance.audio_filepath
    if utterance.byte_range:
        return {"bytes": read_sound(audio, utterance.byte_range).read(), "path": audio.name}
    if utterance.offset is None:
        return {"bytes": storage.read_bytes(audio), "path": audio.name}
    rate = probe(audio).sample_rate
    part, stream = load_audio(audio, rate, utterance.offset, utterance.duration), io.BytesIO()
    soundfile.write(stream, part.samples, rate, format="FLAC")
    return {"bytes": stream.getvalue(), "path": f"{_joined(utterance.id).replace('/', '_')}.flac"}


def _absolute(utterance: Utterance) -> str:
    return storage.url(utterance.audio_filepath) or os.path.realpath(utterance.audio_filepath)


FORMATS: dict[str, Callable[[Sequence[Utterance], Path, str], list[Path]]] = {
    "lhotse": to_lhotse,
    "kaldi": to_kaldi,
    "nemo": to_nemo,
    "huggingface": to_huggingface,
}
