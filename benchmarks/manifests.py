"""Time and memory from a large manifest to the batches of an epoch.

    python benchmarks/manifests.py [--utterances 1000000]

writes a manifest of made-up sentences (132 characters on average) into a temporary folder, with an empty sound file for
each; reads and checks it as `asr train` does and plans an epoch, in a process of its own; prints a Markdown table.
Times are of the processor; memory is what the process takes beyond its imports.
"""

import dataclasses
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tyro
from report import processor, table

from asr.config import Recipe
from asr.data.batching import plan_epoch
from asr.data.config import DataConfig
from asr.data.dataset import load_corpora
from asr.data.manifest import read_manifests
from asr.model.config import ModelConfig
from asr.text.config import TextConfig

ALPHABET = "abcdefghijklmnopqrstuvwxyz '"
FOLDER, SPEAKERS, WORDS = 1000, 2000, 20_000  # files in a folder, speakers, different words
BATCH_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Options:
    """Manifests of many utterances."""

    #: Lines of the manifest.
    utterances: int = 1_000_000
    #: Measure the manifest in this folder, rather than write one.
    folder: Path | None = None


def write_corpus(folder: Path, count: int) -> None:
    """train.jsonl of `count` utterances of 2 to 20 s, and dev.jsonl of one."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(WORDS)]
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            sound = folder / f"{number // FOLDER:04d}" / f"{number:08d}.flac"
            if number % FOLDER == 0:
                sound.parent.mkdir()
            sound.open("x").close()
            seconds, speaker = draw.uniform(2, 20), f"{number % SPEAKERS:04d}"
            line = {
                "id": f"{speaker}-{number // SPEAKERS % 50:06d}-{number:08d}",
                "audio_filepath": str(sound.relative_to(folder)),
                "duration": round(seconds, 2),
                "text": " ".join(draw.choices(words, k=int(2 * seconds) + 1)),
                "speaker": speaker,
            }
            file.write(json.dumps(line) + "\n")
    line = {"id": "dev", "audio_filepath": "0000/00000000.flac", "duration": 5.0, "text": "eta"}
    (folder / "dev.jsonl").write_text(json.dumps(line), encoding="utf-8")


def measure(folder: Path) -> Iterator[tuple[str, float, float]]:
    """Each step, its seconds, and the most gigabytes so far beyond those of the imports."""
    data = DataConfig((folder / "train.jsonl",), (folder / "dev.jsonl",))
    model = ModelConfig(subsampling=2)  # made-up words have more letters per second than some models have frames
    recipe = dataclasses.replace(Recipe(), data=data, text=TextConfig(alphabet=ALPHABET), model=model)
    steps = {
        "read the manifest, look for the recordings": lambda: read_manifests(data.train, check_audio=True),
        "all that precedes training: the same, and check the transcripts": lambda: load_corpora(recipe)[0],
        "digest by which a change is noticed": lambda: corpus.digest(),
        "plan an epoch": lambda: plan_epoch(corpus.durations, BATCH_SECONDS, 0, 1),
    }
    at_start = peak()
    for name, step in steps.items():
        begun = time.process_time()
        result = step()
        yield name, time.process_time() - begun, peak() - at_start
        if name.startswith("all"):
            corpus = result
        del result


def peak() -> float:
    """The most memory of this process so far, in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Write a corpus and measure it in a fresh process, or measure the one given."""
    options = tyro.cli(Options)
    if options.folder:
        print(json.dumps(list(measure(options.folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        write_corpus(Path(name), options.utterances)
        command = [sys.executable, __file__, "--folder", name]
        rows = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"{options.utterances:,} utterances, {processor()}\n")
    print(table(["step", "s", "GB"], [[step, f"{seconds:.1f}", f"{size:.2f}"] for step, seconds, size in rows]))


if __name__ == "__main__":
    main()
