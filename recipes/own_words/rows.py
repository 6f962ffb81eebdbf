"""All rows of this README, or some: split a corpus, `asr init`, `asr train`, `asr evaluate`; the table is printed.

python recipes/own_words/rows.py --speech SPEECH --fsdd free-spoken-digit-dataset -o FOLDER [--rows digits voice-10]
                                 [--base MODEL]

SPEECH has the manifests barista-train.jsonl, arctic-kathleen.jsonl and aishell-sample.jsonl. Rerun the command to
resume (a row's processor seconds are then those since); after a change of the English model, name a new folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.data.division import divide
from asr.data.survey import survey
from asr.pretrained import ENGLISH
from asr.text.config import TextConfig
from asr.training.choices import choose, recipe_text
from asr.utils.files import write_atomically

DIVIDE = Path(__file__).with_name("divide.py")
MINUTES = ("10", "30", "60")


@dataclass(frozen=True)
class Row:
    """One row: manifests of a corpus, in its folder, and how a model for them is made."""

    corpus: str  # its folder, which `prepare_corpus` makes
    parts: tuple[str, ...]
    kind: str = "default"  # what `asr init` writes; 'scratch': without a base; 'as it is': the base untrained


ROWS = {
    "digits": Row("fsdd", ("train", "test")),
    "unseen": Row("fsdd3", ("train", "dev", "test")),
    "barista": Row("barista", ("train", "test")),
    "barista-scratch": Row("barista", ("train", "test"), "scratch"),
    "barista-as-it-is": Row("barista", ("test",), "as it is"),
    "voice-as-it-is": Row("voice", ("test",), "as it is"),
    **{f"voice-{minutes}": Row("voice", (f"train-{minutes}", "test")) for minutes in MINUTES},
    "aishell": Row("aishell", ("train", "test")),
}


def run(*arguments: Any) -> None:
    """A command of Python, which must succeed."""
    print("$", *arguments, flush=True)
    subprocess.run([sys.executable, *map(str, arguments)], check=True)


def prepare_corpus(name: str, speech: Path, fsdd: Path, output: Path) -> None:
    """Write the manifests of a corpus to `output`."""
    if name == "fsdd":
        run("-m", "asr", "prepare", "fsdd", fsdd, "-o", output)
    elif name == "fsdd3":
        run("-m", "asr", "prepare", "fsdd", fsdd, "-o", output, "--split.dev", 0.15, "--split.test", 0.3)
    elif name == "barista":
        run(DIVIDE, speech / "barista-train.jsonl", "--every", 5, "-o", output)
    elif name == "aishell":
        run(DIVIDE, speech / "aishell-sample.jsonl", "--every", 10, "-o", output)
    else:
        options = ("--every", 10, "--by", "prompt", "--minutes", *MINUTES, "-o", output)
        run(DIVIDE, speech / "arctic-kathleen.jsonl", *options)


def train_row(row: Row, manifests: Sequence[Path], recipe: Path, base: Path | None) -> Path:
    """Write the recipe and train by it; returns the better model on dev."""
    if row.kind == "scratch":
        division = divide(manifests, recipe.with_name(f"{recipe.stem}-data"))
        found = survey(division.train, TextConfig())
        choices = choose(found, division.dev, from_scratch=True)
        write_atomically(recipe, recipe_text(" ".join(map(str, manifests)), found, division, choices, recipe))
    elif not recipe.exists():
        run("-m", "asr", "init", *manifests, "-o", recipe)
        if base:
            text = recipe.read_text("utf-8").replace('base = "english"', f"base = {json.dumps(str(base))}")
            write_atomically(recipe, text)
    print("$ -m asr train", recipe, flush=True)
    done = subprocess.run([sys.executable, "-m", "asr", "train", recipe], check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    return Path(done.stdout.split()[-1])


def make_row(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a row shows: processor seconds of training, and the report."""
    row, result = ROWS[name], options.output / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text("utf-8"))
    manifests = [options.output / row.corpus / f"{part}.jsonl" for part in row.parts]
    if not all(path.exists() for path in manifests):
        prepare_corpus(row.corpus, options.speech, options.fsdd, options.output / row.corpus)
    before, model = _processor_seconds(), options.base or ENGLISH
    if row.kind != "as it is":
        model = train_row(row, manifests, options.output / f"{name}.toml", options.base)
    seconds, report = _processor_seconds() - before, options.output / f"{name}-report"
    run("-m", "asr", "evaluate", manifests[-1], "--model", model, "-o", report)
    figures = json.loads((report / "report.json").read_text("utf-8"))
    values = {
        "model": os.path.relpath(model, options.output) if row.kind != "as it is" else model.name,
        "processor_seconds": round(seconds),
        "utterances": len(figures["utterances"]),
        **{kind: figures[kind]["rate"] for kind in ("wer", "cer")},
        "interval": figures.get("wer_interval_over_speakers") or figures["wer_interval_over_utterances"],
    }
    write_atomically(result, json.dumps(values, indent=2) + "\n")
    return values


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, default=Path("speech"))
    parser.add_argument("--fsdd", type=Path, default=Path("free-spoken-digit-dataset"))
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--base", type=Path, help="a model file to start from instead of the English one")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    lines = ["| row | recordings | WER | CER | processor seconds | model |", "|---|---|---|---|---|---|"]
    for name in options.rows:
        row = make_row(name, options)
        lowest, highest = row["interval"]
        rates = f"{row['wer']:.2%} ({lowest:.2%} to {highest:.2%}) | {row['cer']:.2%}"
        lines.append(f"| {name} | {row['utterances']} | {rates} | {row['processor_seconds']} | {row['model']} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
