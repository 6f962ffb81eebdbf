"""A corpus -> manifests, rejects and a summary."""

import contextlib
import dataclasses
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from asr.config import Recipe, load_recipe
from asr.data.config import PrepareConfig, SplitConfig
from asr.data.corpora import LAYOUTS, WRITE_RECORDINGS, librispeech
from asr.data.corpora.base import Candidate
from asr.data.intake import Intake, Recording, Reject, recorded_seconds, recording_of
from asr.data.manifest import (
    Utterance,
    encode_manifest,
    relative_path,
    single_speaker,
    split_by_speaker,
    total_hours,
)
from asr.data.shards import Places, shard_subsets, write_here, write_shard
from asr.errors import ConfigError, ManifestError, one_line
from asr.model.config import ModelConfig
from asr.text.config import TextConfig
from asr.text.normalizer import normalize
from asr.text.numbers import number_speller
from asr.text.tokenizer import name_characters
from asr.utils.files import is_among, make_folder, write_together
from asr.utils.progress import progress_bar, track
from asr.utils.ray_cluster import map_on_ray, why_lost
from asr.utils.storage import shown

# Without a recipe the frame rate is not known yet: only what is too short for every one is rejected.
NO_RECIPE = Recipe(model=ModelConfig(subsampling=1))

Subsets = dict[str, list[Utterance]]

HEADERS, SHARDS = 1000, 4  # that a node of a cluster reads and writes at a time


@dataclass(frozen=True)
class SubsetSummary:
    """The contents of one manifest. Words and characters (spaces included) are counted after normalisation."""

    hours: float
    utterances: int
    speakers: int  # known ones
    without_speaker: int  # utterances
    words: int
    characters: int


@dataclass(frozen=True)
class Summary:
    """The result of `prepare`."""

    layout: str
    source: str
    synthetic: bool
    split_by_speaker: bool  # rather than the corpus's own subsets
    split_by_utterance: bool  # likewise: all utterances are by one speaker, who is in every subset
    subsets: dict[str, SubsetSummary]
    rejects_by_kind: dict[str, int]
    numbers_written_out: int  # utterances with digits in the corpus and words in the manifest
    corrected_durations: int  # of recordings whose duration the corpus claims wrongly
    unknown_characters: dict[str, int]  # with counts, over the whole corpus; only with a recipe's alphabet
    shards: dict[str, int]  # by subset
    written: tuple[Path, ...]

    @property
    def rejects(self) -> int:
        """The number of rejected utterances."""
        return sum(self.rejects_by_kind.values())

    def to_text(self) -> str:
        """The summary for a terminal, without a line end."""
        rows: list[tuple[str, ...]] = [("subset", "hours", "utterances", "speakers", "words", "characters")]
        for name, subset in self.subsets.items():
            counts = (subset.utterances, subset.speakers or "unknown", subset.words, subset.characters)
            rows.append((name, f"{subset.hours:.3f}", *map(str, counts)))
        return "\n".join(map(one_line, [*_align(rows), *self._remarks()]))

    def _remarks(self) -> Iterator[str]:
        if self.synthetic:
            yield "synthetic speech: for trials, not for claims about human voices"
        unknown = sum(subset.without_speaker for subset in self.subsets.values())
        if unknown and self.split_by_speaker:
            yield f"utterances without a speaker: {unknown}, each split as a speaker of its own"
        if self.split_by_utterance:
            yield "split by utterance: one speaker in all subsets, so their WER says nothing about other speakers"
        if self.numbers_written_out:
            yield f"numbers written out: in {self.numbers_written_out} utterances, see numbers.jsonl"
        if self.corrected_durations:
            yield f"durations corrected: {self.corrected_durations}, which the corpus claims wrongly"
        if self.unknown_characters:
            yield f"characters outside the alphabet: {name_characters(Counter(self.unknown_characters))}"
        kinds = ", ".join(f"{kind} ({count})" for kind, count in self.rejects_by_kind.items())
        yield f"rejected: {self.rejects}" + (f", see rejects.jsonl: {kinds}" if kinds else "")
        for subset, count in self.shards.items():
            last = f" to {subset}-{count - 1:04d}.tar" if count > 1 else ""
            yield f"shards: {subset}-0000.tar{last}, beside the manifests"
        yield f"written: {', '.join(map(shown, self.written))}"


def prepare(layout: str, source: str, output: Path, config: PrepareConfig) -> Summary:
    """Write the manifests of a corpus, `rejects.jsonl` and `summary.json` into the folder `output`.

    Files are written after all checks, and all or none of them. Manifests of other subsets in `output` stay; the
    rejects and the summary are those of the last run. Raises `ConfigError` for a wrong option, `ManifestError` if
    `source` does not have the layout, no utterance is usable, or `output` is not writable.
    """
    output = Path(output)
    _check_options(layout, config)
    recipe = load_recipe(config.recipe) if config.recipe else NO_RECIPE
    if config.download:
        source = str(librispeech.download(Path(source)))
    with _errors_of(output):
        make_folder(output)
    candidates, total = _candidates(layout, source, output, config)
    recorded = _recorded_on_ray(candidates, config.where.ray_address) if config.where.engine == "ray" else None
    intake = Intake(recipe, config.max_seconds, number_speller(config.numbers), recorded)
    for candidate in track(candidates, "preparing", total):
        intake.add(candidate)
    if not intake.accepted:
        raise ManifestError(f"{source}: {_nothing_accepted(intake.rejects)}")
    pooled = [utterance for subset in intake.accepted.values() for utterance in subset]
    is_split, has_one_speaker = _is_split(config.split), single_speaker(pooled) is not None
    subsets = _split(pooled, config.split) if is_split else intake.accepted
    names = [*(f"{subset}.jsonl" for subset in subsets), "rejects.jsonl", "summary.json"]
    names += ["numbers.jsonl"] if intake.spelled else []
    _check_names(names, source, output)
    subsets, shards = _shard(output, subsets, config) if config.shards else (subsets, {})
    summary = Summary(
        layout=layout,
        source=source,
        synthetic=any(utterance.synthetic for utterance in pooled),
        split_by_speaker=is_split and not has_one_speaker,
        split_by_utterance=is_split and has_one_speaker,
        subsets={name: _summarize(utterances, recipe.text) for name, utterances in subsets.items()},
        rejects_by_kind=dict(Counter(reject.kind for reject in intake.rejects).most_common()),
        numbers_written_out=len(intake.spelled),
        corrected_durations=intake.corrected_durations,
        unknown_characters=dict(intake.unknown_characters.most_common()),
        shards=shards,
        written=tuple(output / name for name in names),
    )
    with _errors_of(output):
        contents = [encode_manifest(utterances, output) for utterances in subsets.values()]
        contents += [_encode_rejects(intake.rejects, output), _encode_summary(summary)]
        contents += [b"".join(msgspec.json.encode(each) + b"\n" for each in intake.spelled)] if intake.spelled else []
        write_together(dict(zip(summary.written, contents, strict=True)))
    return summary


def _check_options(layout: str, config: PrepareConfig) -> None:
    if layout not in LAYOUTS:
        close = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ConfigError(f"no layout '{layout}'; {hint}it is one of {', '.join(LAYOUTS)}")
    if config.download and layout != "librispeech":
        raise ConfigError(f"--download is for librispeech only; download the '{layout}' corpus yourself")
    if config.where.engine == "ray" and layout == "synthetic":
        raise ConfigError("--engine ray: synthetic speech is made in this process; leave it out")
    if config.split.dev + config.split.test >= 1:
        raise ConfigError(
            f"split.dev {config.split.dev:g} and split.test {config.split.test:g} leave nothing for train; lower them"
        )


def _candidates(layout: str, source: str, output: Path, config: PrepareConfig) -> tuple[Iterable[Candidate], int]:
    """The candidates and their number."""
    if layout == "synthetic":
        # Synthesised while they are checked, so their number comes from the config.
        size = config.synthetic.train + config.synthetic.dev + config.synthetic.test
        return LAYOUTS[layout](source, output, config.synthetic), size
    arguments = (output / "audio", getattr(config, layout)) if layout in WRITE_RECORDINGS else ()
    candidates = list(LAYOUTS[layout](Path(source), *arguments))
    return candidates, len(candidates)


def _recorded_on_ray(candidates: Iterable[Candidate], address: str) -> Callable[[Recording], float | str]:
    """What `recorded_seconds` returns for the candidates' recordings, whose headers are read on a cluster."""
    recordings = list(dict.fromkeys(map(recording_of, candidates)))
    with progress_bar("reading headers", len(recordings)) as advance:
        seconds = map_on_ray(recorded_seconds, recordings, HEADERS, address, advance, _lost_recording)
    return dict(zip(recordings, seconds, strict=True)).__getitem__


def _shard(output: Path, subsets: Subsets, config: PrepareConfig) -> tuple[Subsets, dict[str, int]]:
    """Pack the recordings into tar files: the utterances as they are there, and the number of files per subset."""
    on_ray = config.where.engine == "ray"
    write = partial(_write_on_ray, address=config.where.ray_address) if on_ray else write_here
    with _errors_of(output):
        return shard_subsets(output, subsets, config.shards, write)


def _write_on_ray(shards: Sequence[tuple[Path, Places]], address: str) -> list[Places]:
    """Write shards on a cluster."""
    with progress_bar("shards", len(shards)) as advance:
        return map_on_ray(write_shard, shards, SHARDS, address, advance, _lost_shard)


def _lost_recording(recording: Recording, error: Exception) -> str:
    return why_lost(str(recording[0]), error)


def _lost_shard(shard: tuple[Path, Places], error: Exception) -> Places:
    raise ManifestError(why_lost(str(shard[0]), error))


def _nothing_accepted(rejects: list[Reject]) -> str:
    if not rejects:
        return "no utterances in it; is this the right corpus?"
    kind, count = Counter(reject.kind for reject in rejects).most_common(1)[0]
    first = next(reject for reject in rejects if reject.kind == kind)
    return (
        f"none of {len(rejects)} utterances is usable, most often because of: {kind} ({count}), "
        f"such as {_encodable(first.candidate.id)}: {first.reason}"
    )


def _is_split(split: SplitConfig) -> bool:
    return split.dev > 0 or split.test > 0


def _split(utterances: list[Utterance], split: SplitConfig) -> Subsets:
    """Train, dev and test by speaker or, if there is only one, by utterance, which dev and test are marked with."""
    subsets = split_by_speaker(utterances, {"dev": split.dev, "test": split.test}, split.seed)
    if single_speaker(utterances) is None:
        return subsets
    return {name: [u.marked_by_utterance() if name != "train" else u for u in part] for name, part in subsets.items()}


def _check_names(names: list[str], source: str, output: Path) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ManifestError(f"{source}: a subset cannot be named '{Path(name).stem}', as {name} is reserved; rename it")
    for path in (output / name for name in names):
        if is_among(path, [Path(source)]):
            raise ManifestError(f"{shown(path)}: would be overwritten, but is the source; choose another output folder")


def _summarize(utterances: list[Utterance], config: TextConfig) -> SubsetSummary:
    texts = [normalize(utterance.text, config) for utterance in utterances]
    return SubsetSummary(
        hours=round(total_hours(utterances), 4),
        utterances=len(utterances),
        speakers=len({utterance.speaker for utterance in utterances} - {""}),
        without_speaker=sum(not utterance.speaker for utterance in utterances),
        words=sum(len(text.split()) for text in texts),
        characters=sum(map(len, texts)),
    )


def _encode_rejects(rejects: list[Reject], folder: Path) -> bytes:
    lines = []
    for reject in rejects:
        record = {
            "id": reject.candidate.id,
            "audio_filepath": relative_path(reject.candidate.audio, folder),
            "text": reject.candidate.text,
            "reason": reject.reason,
        }
        lines.append(msgspec.json.encode({key: _encodable(value) for key, value in record.items()}) + b"\n")
    return b"".join(lines)


def _encodable(text: str) -> str:
    """`text` with question marks for what UTF-8 cannot encode, parts of odd file names."""
    return text.encode("utf-8", "replace").decode()


def _encode_summary(summary: Summary) -> bytes:
    values: dict[str, Any] = dataclasses.asdict(summary)
    values |= {"rejects": summary.rejects, "written": [path.name for path in summary.written]}
    return msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"


@contextlib.contextmanager
def _errors_of(output: Path) -> Iterator[None]:
    """Turn errors of the disk into `ManifestError`, naming the file or else the output folder."""
    try:
        yield
    except OSError as error:
        raise ManifestError(
            f"{error.filename or output}: {error.strerror}; give a writable folder on a disk with free space"
        ) from error


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of a table as lines: the first column left-aligned, numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
