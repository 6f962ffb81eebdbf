"""The training command of a finished run, given again: what has changed since, and how to continue."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.config import Recipe
from asr.data.dataset import data_digest, normalized
from asr.data.manifest import read_manifests, total_hours
from asr.errors import ManifestError, TrainingError
from asr.model.model_file import load_model
from asr.training.checkpoint import read_progress
from asr.training.run_folder import RunFolder


def check_finished(folder: RunFolder, recipe: Recipe) -> str:
    """A message that the run is finished and nothing has changed since.

    Raises `TrainingError` that lists what has changed: options, the content of manifests, missing files.
    """
    record = load_model(folder.model).training
    finished = f"{folder.path}: this run is finished"
    if record:
        finished += f" ({record['date']}, dev WER {record['dev_wer']:.2%})"
    changes = [f"the recipe had {change}" for change in folder.recipe_changes()]
    changes += _data_changes(folder, recipe, record)
    if not changes:
        return (
            f"{finished} and nothing has changed since; to train again, choose another --output or delete this folder"
        )
    raise TrainingError(
        f"{finished}, but since then: {'; '.join(changes)}. Choose another --output to train again (add "
        f"--training.warm_start {folder.model} to start from the finished model), or delete this folder"
    )


def _data_changes(folder: RunFolder, recipe: Recipe, record: dict) -> Iterator[str]:
    digests = read_progress(folder.checkpoint).get("data_digest", "") if folder.checkpoint.exists() else ""
    counts = {
        "data.train": f"{record.get('utterances')} utterances, {record.get('hours', 0):.2f} h",
        "data.dev": f"{record.get('dev_hours', 0):.2f} h",
    }
    half = len(digests) // 2
    for name, paths, before in (
        ("data.train", recipe.data.train, digests[:half]),
        ("data.dev", recipe.data.dev, digests[half:]),
    ):
        try:
            now, found = _data_now(paths, recipe)
        except ManifestError as error:
            yield str(error)
            continue
        if before and now != before:
            yield f"{name} has changed: {counts[name]} then, {found} now"
    if recipe.data.lexicon and not recipe.data.lexicon.exists():
        yield f"{recipe.data.lexicon}: no such file"


def _data_now(paths: Sequence[Path], recipe: Recipe) -> tuple[str, str]:
    """Digest and size of the data that manifests name today."""
    utterances = read_manifests(paths, check_audio=True)
    return data_digest(
        utterances, normalized(utterances, recipe.text)
    ), f"{len(utterances)} utterances, {total_hours(utterances):.2f} h"
