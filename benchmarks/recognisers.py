"""Ours beside pocketsphinx 5 and its English model, on the same recordings in one run: words, speed and memory.

    python benchmarks/recognisers.py A.jsonl B.jsonl

prints a Markdown table for each manifest, as soon as it is known.
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from engines import Asr, Heard, Pocketsphinx, hear
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

OURS, OTHER = "asr", "pocketsphinx"
TEXT = TextConfig()  # how references and what was heard are normalised, for both


@dataclass(frozen=True)
class Options:
    """WER, speed and memory of our recogniser and another."""

    #: Utterances with what was said in them; each manifest has a table of its own.
    manifests: Annotated[tuple[Path, ...], tyro.conf.Positional]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Only each so-manieth utterance.
    every: int = 1
    #: Cores that each recogniser may use.
    cores: int = 2


@dataclass(frozen=True)
class Result:
    """How one recogniser did on a manifest."""

    evaluation: Evaluation
    heard: Heard


def check(options: Options) -> None:
    """Raise `ConfigError` for what is missing, before any work."""
    if importlib.util.find_spec(OTHER) is None:
        raise ConfigError(f"{OTHER}: not installed; pip install -e '.[bench]'")
    if not options.model.exists():
        raise ConfigError(f"{options.model}: no such file; give --model")


def compare(model: Path, manifest: Path, utterances: Sequence[Utterance], cores: Sequence[int]) -> dict[str, Result]:
    """Both in turn."""
    results = {}
    for name, engine, arguments in ((OURS, Asr, (model,)), (OTHER, Pocketsphinx, ())):
        tell(f"{manifest.name}: {name}")
        heard = hear(engine, arguments, utterances, cores)
        results[name] = Result(judge(name, manifest, utterances, heard), heard)
    return results


def judge(name: str, manifest: Path, utterances: Sequence[Utterance], heard: Heard) -> Evaluation:
    """Errors, as `asr evaluate` counts them."""
    pairs = [
        (utterance, Transcript(text, (), utterance.duration))
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
            )
        )
    head = ("recogniser", "WER %", "95%, by speaker", "95%, by utterance", "CER %", "RTF", "RTF, processor time")
    return f"{table((*head, 'ours is times as fast', 'loading, s', 'peak GB'), rows)}\n\n{verdict(results)}"


def verdict(results: dict[str, Result]) -> str:
    """Whether the difference in WER is more than the intervals."""
    ours, other = results[OURS].evaluation, results[OTHER].evaluation
    by_speaker = lie(ours.speaker_interval, other.speaker_interval)
    by_utterance = lie(ours.utterance_interval, other.utterance_interval)
    return f"95% intervals: by speaker {by_speaker}; by utterance {by_utterance}."


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
    print(f"{processor()}, of which {len(cores)} are used; {OTHER} {importlib.metadata.version(OTHER)}")
    print(f"Ours: {options.model.name}, {load_decoder(options.model).describe()}\n", flush=True)
    hear(Asr, (options.model,), next(iter(sets.values()))[:1], cores)  # so that nothing is compiled in what counts
    for manifest, utterances in sets.items():
        results = compare(options.model, manifest, utterances, cores)
        print(f"{title(manifest, utterances)}\n\n{markdown(results)}\n", flush=True)


if __name__ == "__main__":
    start(main, Options, __doc__)
