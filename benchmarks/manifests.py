"""Time and memory from a large manifest to the batches of an epoch.

    python benchmarks/manifests.py [--utterances 1000000]

writes a manifest of made-up sentences (132 characters on average) in each format into a temporary folder, with an empty
sound file for each; reads and checks it as `asr train` does and plans an epoch, in a process of its own; prints a
Markdown table. Times are of the processor; memory is what the process takes beyond its imports.
"""

import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.json
import pyarrow.parquet
import tyro
import zstandard
from commands import peak_bytes
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
FORMATS = (".jsonl", ".jsonl.zst", ".parquet")


@dataclasses.dataclass(frozen=True)
class Options:
    """Manifests of many utterances."""

    #: Lines of the manifest.
    utterances: int = 1_000_000
    #: Measure this manifest, which has dev.jsonl beside it, rather than write some.
    manifest: Path | None = None


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


def write_other_formats(manifest: Path) -> None:
    """The same manifest as .jsonl.zst and .parquet."""
    with manifest.open("rb") as source, manifest.with_suffix(".jsonl.zst").open("wb") as packed:
        zstandard.ZstdCompressor().copy_stream(source, packed)
    with (
        pyarrow.json.open_json(manifest) as lines,
        pyarrow.parquet.ParquetWriter(manifest.with_suffix(".parquet"), lines.schema) as table,
    ):
        for batch in lines:
            table.write_batch(batch)


def measure(manifest: Path) -> Iterator[tuple[str, float, float]]:
    """Each step, its seconds, and the most gigabytes so far beyond those of the imports."""
    data = DataConfig((manifest,), (manifest.with_name("dev.jsonl"),))
    model = ModelConfig(subsampling=2)  # made-up words have more letters per second than some models have frames
    recipe = dataclasses.replace(Recipe(), data=data, text=TextConfig(alphabet=ALPHABET), model=model)
    steps = {
        "read the manifest, look for the recordings": lambda: read_manifests(data.train, check_audio=True),
        "all that precedes training: the same, and check the transcripts": lambda: load_corpora(recipe)[0],
        "digest by which a change is noticed": lambda: corpus.digest(),
        "plan an epoch": lambda: plan_epoch(corpus.durations, BATCH_SECONDS, 0, 1),
    }
    at_start = peak_bytes()
    for name, step in steps.items():
        begun = time.process_time()
        result = step()
        yield name, time.process_time() - begun, (peak_bytes() - at_start) / 1e9
        if name.startswith("all"):
            corpus = result
        del result


def main() -> None:
    """Write a corpus and measure it in fresh processes, or measure the one given."""
    options = tyro.cli(Options)
    if options.manifest:
        print(json.dumps(list(measure(options.manifest))))
        return
    rows: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        manifest = Path(name) / "train.jsonl"
        write_corpus(manifest.parent, options.utterances)
        write_other_formats(manifest)
        for suffix in FORMATS:
            command = [sys.executable, __file__, "--manifest", str(manifest.with_suffix(suffix))]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            for step, seconds, size in json.loads(output):
                rows.setdefault(step, [step]).extend((f"{seconds:.1f}", f"{size:.2f}"))
    print(f"{options.utterances:,} utterances, {processor()}\n")
    print(table(["step", *(f"{suffix}, {unit}" for suffix in FORMATS for unit in ("s", "GB"))], list(rows.values())))


if __name__ == "__main__":
    main()
