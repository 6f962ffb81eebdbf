"""What a run prints, and what its model file records of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asr.config import Recipe
from asr.data.dataset import Corpus
from asr.data.manifest import speaker_digest
from asr.data.survey import shared_sentences
from asr.text.tokenizer import Tokenizer
from asr.training.dev_set import DevResult
from asr.training.learner import CtcLearner
from asr.training.run_folder import Progress
from asr.training.run_log import clock, environment
from asr.utils.config_io import to_values


def introduction(recipe: Recipe, train: Corpus, dev: Corpus, tokenizer: Tokenizer, learner: CtcLearner) -> list[str]:
    """Data, network and device, printed at the start."""
    model, group = learner.model, learner.group
    synthetic = "; synthetic speech: the WER says nothing about human speech" if dev.synthetic else ""
    lines = [
        f"train {train.hours:.2f} h ({len(train.utterances)} utterances), "
        f"dev {dev.hours:.2f} h ({len(dev.utterances)}){synthetic}"
    ]
    shared = train.speakers & dev.speakers
    if shared:
        lines.append(f"warning: {len(shared)} dev speakers are also in train: dev WER is optimistic for new speakers")
    if recipe.training.decoder != "sentences" and (warning := shared_sentences(train.texts, dev.texts)):
        lines.append(f"warning: {warning}")
    processes = f", {group.size} processes" if group.size > 1 else ""
    lines.append(
        f"{model.parameter_count():,} parameters, {len(tokenizer.pieces) - 1} {tokenizer.units} tokens, "
        f"{learner.device}{processes}, {str(learner.dtype).removeprefix('torch.')} ({learner.reason})"
    )
    return lines


def epoch_values(progress: Progress, dev: DevResult) -> dict[str, Any]:
    """An epoch's record in metrics.jsonl."""
    return {
        "epoch": progress.epoch + 1,
        "loss": progress.loss_sum / max(1, progress.token_count),
        "dev_wer": dev.wer,
        "dev_cer": dev.cer,
        **({} if dev.per is None else {"dev_per": dev.per}),
        "blank_rate": dev.blank_rate,
        "too_short": progress.too_short,
        "seconds": progress.seconds,
    }


def epoch_lines(progress: Progress, epochs: int, dev: DevResult, pace: dict[str, float], references: Sequence[str]):
    """An epoch as printed: figures, warnings and two dev utterances."""
    best = "  (best)" if progress.best[0][1] == progress.epoch else ""
    phones = "" if dev.per is None else f"PER {dev.per:6.2%}  "
    loss = progress.loss_sum / max(1, progress.token_count)
    yield (
        f"epoch {progress.epoch + 1:3d}/{epochs}  loss {loss:.3f}  dev WER {dev.wer:6.2%}  CER {dev.cer:6.2%}  {phones}"
        f"blank {dev.blank_rate:.0%}  {pace['audio_seconds_per_second']:.0f} s/s  "
        f"waiting {pace['waiting_share']:.1%}  {clock(progress.seconds)}{best}"
    )
    if progress.too_short:
        yield f"    skipped: {progress.too_short} utterances with too few frames for their tokens"
    for index in (0, len(references) // 2):
        yield f"    reference:  {references[index]}"
        yield f"    hypothesis: {dev.hypotheses[index]}"


def final_line(dev: DevResult, epochs: list[int], seconds: float) -> str:
    """The result as printed; `epochs`, counted from 0, are those averaged."""
    names = ", ".join(str(epoch + 1) for epoch in sorted(epochs))
    averaged = f"epochs {names} averaged" if len(epochs) > 1 else f"epoch {names}"
    return f"final: {averaged}, dev WER {dev.wer:.2%}, CER {dev.cer:.2%}, {clock(seconds)} of training"


def training_record(
    recipe: Recipe, train: Corpus, dev: Corpus, result: DevResult, progress: Progress, epochs: list[int]
) -> dict[str, Any]:
    """The `training` metadata of the model file."""
    return {
        "hours": round(train.hours, 3),
        "utterances": len(train.utterances),
        "speakers": len(train.speakers),
        "speaker_digests": sorted(map(speaker_digest, train.speakers)),
        "synthetic": train.synthetic,
        **({"base": Path(recipe.base).name} if recipe.base else {}),
        "train": [path.name for path in recipe.data.train],
        "dev": [path.name for path in recipe.data.dev],
        "dev_wer": result.wer,
        "dev_cer": result.cer,
        **({} if result.per is None else {"dev_per": result.per}),
        "dev_hours": round(dev.hours, 3),
        "dev_synthetic": dev.synthetic,
        "epochs": progress.epoch,
        "averaged_epochs": sorted(epoch + 1 for epoch in epochs),
        "steps": progress.step,
        "seconds": round(progress.seconds),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": _without_folders(to_values(recipe.training)),
        "augment": _without_folders(to_values(recipe.augment)),
        "environment": environment(),
    }


def _without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Options with files by name only, since a model file goes to other machines."""
    names = {key: Path(values[key]).name for key in ("cache", "warm_start", "noise") if values.get(key)}
    return values | names
