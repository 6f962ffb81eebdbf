"""A preview of augmentation: recordings as a recipe changes them, to listen to and look at before training."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from asr.audio.augment import WaveformAugmenter, draw_changes
from asr.audio.features import LogMel
from asr.audio.io import load_audio, wav
from asr.audio.spec_augment import augment_features
from asr.config import Recipe
from asr.errors import AsrError, AudioError
from asr.output.formats import output_names
from asr.recognition.batch import expand_inputs
from asr.utils.extras import require
from asr.utils.files import write_atomically
from asr.utils.html import readable, render, spectrogram_png
from asr.visual.config import AugmentPreviewConfig

PICTURE_WIDTH = 800  # pixels, beside the player
LEAST_SCALE, MOST_SCALE = 60.0, 300.0  # pixels per second


@dataclass(frozen=True)
class Example:
    """A recording as it is, or after one random draw of changes."""

    path: Path  # of the sound file
    changes: str  # a description
    samples: np.ndarray  # (samples,)
    log_mel: np.ndarray  # (frames, mels) of these samples
    masked: np.ndarray | None  # (frames, mels), stretched and masked as in one epoch; None for the recording itself


@dataclass(frozen=True)
class AugmentPreview:
    """The files written, and why inputs could not be read."""

    page: Path
    examples: list[Example]
    failures: list[str]


def preview_augmentation(
    recipe: Recipe, inputs: Sequence[str], folder: Path, config: AugmentPreviewConfig
) -> AugmentPreview:
    """Write the sound files that `inputs` name unchanged (`original/`) and augmented (`example-1/` and so on), and
    `index.html`, which plays and shows them. `config.augment` replaces the recipe's section.

    Raises `AsrError` when no input can be read or one would be overwritten, and whatever `WaveformAugmenter` raises.
    """
    require("matplotlib")
    require("jinja2")
    augmenter = WaveformAugmenter(config.augment, recipe.features.sample_rate)
    examples_of = _ExampleWriter(dataclasses.replace(recipe, augment=config.augment), augmenter, Path(folder))
    names, missing = expand_inputs(inputs)
    failures = [failure.reason for failure in missing]
    shown: list[tuple[str, list[Example]]] = []
    for number, (name, path) in enumerate(zip(names, output_names(names, "wav"), strict=True)):
        try:
            generators = [np.random.default_rng((config.seed, number, each)) for each in range(config.examples)]
            shown.append((name, examples_of(name, path, generators)))
        except AudioError as error:
            failures.append(str(error))
    if not shown:
        raise AsrError(failures[0] if failures else "no SOUND: name sound files, folders or globs")
    drawn = [draw(name, examples, recipe.features.sample_rate, Path(folder)) for name, examples in shown]
    page = write_atomically(Path(folder) / "index.html", render("augment_preview.html.j2", sounds=drawn))
    return AugmentPreview(page, [example for _, examples in shown for example in examples], failures)


class _ExampleWriter:
    """Recordings -> their examples, written as sound files."""

    def __init__(self, recipe: Recipe, augmenter: WaveformAugmenter, folder: Path):
        self._recipe, self._augmenter, self._folder = recipe, augmenter, folder
        self._log_mel = LogMel(recipe.features)

    def __call__(self, name: str, path: Path, generators: Sequence[np.random.Generator]) -> list[Example]:
        """Write the recording itself and an example per generator."""
        rate, most = self._recipe.features.sample_rate, self._recipe.data.max_seconds
        audio = load_audio(name, rate)
        if audio.duration > most:
            raise AudioError(f"{name}: {audio.duration:.0f} s, more than data.max_seconds ({most:g}); split it")
        kinds = ["original", *(f"example-{number}" for number in range(1, len(generators) + 1))]
        targets = [self._folder / kind / path for kind in kinds]
        if any(target.exists() and target.samefile(name) for target in targets):
            raise AsrError(f"{name}: would be overwritten by its own example; choose another folder with -o")
        examples = [self._example(targets[0], "unchanged", audio.samples)]
        for target, random in zip(targets[1:], generators, strict=True):
            changes = draw_changes(self._recipe.augment, random)
            samples = self._augmenter(audio.samples, changes, random)
            examples.append(self._example(target, self._augmenter.describe(changes), samples, random))
        return examples

    def _example(
        self, path: Path, changes: str, samples: np.ndarray, random: np.random.Generator | None = None
    ) -> Example:
        write_atomically(path, wav(samples, self._recipe.features.sample_rate))
        log_mel = self._log_mel(samples)
        masked = None
        if random is not None:
            hop = self._recipe.features.hop_seconds
            masked = augment_features(log_mel, self._recipe.augment, hop, random)
        return Example(path, changes, samples, log_mel, masked)


def draw(name: str, examples: Sequence[Example], sample_rate: int, folder: Path) -> dict[str, Any]:
    """The template's values for one recording and its examples, all on the same scales."""
    longest = max(len(example.samples) for example in examples) / sample_rate
    scale = min(max(PICTURE_WIDTH / longest, LEAST_SCALE), MOST_SCALE)
    peak = max(1e-3, *(float(np.abs(example.samples).max()) for example in examples))
    limits = np.percentile(examples[0].log_mel, [1, 99])  # so that clicks and digital silence leave contrast
    return {
        "name": readable(name),
        "width": longest * scale,
        "scale": scale,
        "seconds": longest,
        "examples": [
            {
                "title": readable(example.path.relative_to(folder).parts[0]).replace("-", " "),
                "changes": readable(example.changes),
                "source": quote(os.fsencode(example.path.relative_to(folder))),
                "seconds": len(example.samples) / sample_rate,
                "width": len(example.samples) / sample_rate * scale,
                "waveform": list(_envelope(example.samples / peak, scale / sample_rate)),
                "images": [
                    spectrogram_png(image, limits) for image in (example.log_mel, example.masked) if image is not None
                ],
            }
            for example in examples
        ],
    }


def _envelope(samples: np.ndarray, scale: float) -> Iterator[tuple[float, float]]:
    """Corners (x in pixels, amplitude) of the area between the lowest and highest sample per pixel."""
    step = max(1, int(1 / scale))
    starts = np.arange(0, len(samples), step)
    highest, lowest = np.maximum.reduceat(samples, starts), np.minimum.reduceat(samples, starts)
    yield from zip((starts * scale).tolist(), highest.tolist(), strict=True)
    yield from zip((starts[::-1] * scale).tolist(), lowest[::-1].tolist(), strict=True)
