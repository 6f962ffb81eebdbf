"""How far back and ahead an output depends on the input, measured by gradients.

In a recurrent network the gradient of an output with respect to a much earlier frame is a product of one matrix per
frame in between, and vanishes with their number (Hochreiter 1991; Bengio et al. 1994).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sounds import load_sounds
from torch import Tensor

DIRECTIONS = 4  # random ones of the output that are averaged over


@dataclass(frozen=True)
class Reach:
    """Norm of the gradient of an output with respect to the input, relative to the largest."""

    seconds: list[float]  # from the input to the output; negative: the input is later
    untrained: list[float]
    trained: list[float]


def measure_reach(model: Path, test: Path, seconds: float, clips: int) -> Reach:
    """Gradients up to `seconds` back and ahead, before and after training, averaged over `clips` excerpts of the joined
    test recordings."""
    from asr.audio.features import LogMel
    from asr.model.acoustic_model import AcousticModel, load_network
    from asr.model.model_file import load_model

    file = load_model(model)
    torch.manual_seed(0)
    untrained = AcousticModel(file.architecture, file.features.mels, len(file.tokenizer.pieces)).eval()
    samples = round(2 * seconds * file.features.sample_rate)
    speech = np.concatenate([sound.samples for sound in load_sounds(test, file.features.sample_rate, file.text)])
    log_mel = LogMel(file.features)
    starts = range(0, max(1, len(speech) - samples), max(1, len(speech) // clips))
    features = torch.stack([torch.from_numpy(log_mel(speech[start : start + samples])) for start in starts])
    place = features.shape[1] // file.architecture.subsampling // 2
    curves = [sensitivity(each, features, place) for each in (untrained, load_network(file))]
    later = range(place, place - len(curves[0]), -1)
    return Reach([frames * file.frame_seconds for frames in later], *(curve.tolist() for curve in curves))


def sensitivity(model: torch.nn.Module, features: Tensor, place: int) -> np.ndarray:
    """Root mean square `(output frames,)` of the gradient of output frame `place` with respect to the features
    `(batch, frames, mels)` at each output frame, relative to the largest."""
    features = features.clone().requires_grad_()
    lengths = torch.full((len(features),), features.shape[1])
    outputs = model(features, lengths)[0][:, place]
    random, total = torch.Generator().manual_seed(0), torch.zeros(features.shape[1])
    for _ in range(DIRECTIONS):
        direction = torch.randn(outputs.shape, generator=random)
        (gradient,) = torch.autograd.grad((outputs * direction).sum(), features, retain_graph=True)
        total += gradient.square().sum(dim=(0, 2))
    stretches = total.split(model.subsampling.factor)
    sizes = np.sqrt([float(stretch.double().sum()) for stretch in stretches])
    return sizes / sizes.max()


def farthest(seconds: Sequence[float], sizes: Sequence[float], share: float = 0.01) -> tuple[float, float]:
    """Seconds back and ahead within which the gradient is at least `share` of the largest."""
    within = [second for second, size in zip(seconds, sizes, strict=True) if size >= share]
    return max(0.0, *within), max(0.0, *(-second for second in within))
