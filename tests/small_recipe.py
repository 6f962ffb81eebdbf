"""Recipes of small networks, which learn in seconds."""

import json
from pathlib import Path
from typing import Any

SMALL = {
    "data": {"train": ["train.jsonl"], "dev": ["dev.jsonl"]},
    "features": {"mels": 20},
    "model": {"subsampling": 2, "channels": 4, "layers": 1, "width": 24, "dropout": 0.0},
    "training": {"batch_seconds": 4, "learning_rate": 1e-2, "average": 1, "workers": 0, "checkpoint_minutes": 0},
}
#: For the synthesiser's words in letters, without augmentation.
SYNTHETIC_WORDS = {
    "features": {"mels": 40},
    "augment": {"time_masks": 0, "frequency_masks": 0},
    "model": {"subsampling": 4, "channels": 8},
    "training": {"batch_seconds": 8},
}


def write_recipe(path: Path, *changes: dict[str, dict[str, Any]]) -> Path:
    """Write `SMALL` with changes by section, later ones over earlier ones. Its run folder has the recipe's name."""
    sections = {name: dict(values) for name, values in SMALL.items()}
    for change in changes:
        for name, values in change.items():
            sections[name] = sections.get(name, {}) | values
    lines = [f'output = "{path.stem}"']
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
