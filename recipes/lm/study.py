"""Language models of every kind from one text: perplexity, by length of context, and how far back gradients reach.

    python recipes/lm/study.py TEXT -o data/lm

Each step is a command of `asr lm`, and is skipped if its result is there: rerun to resume.
"""

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from asr.errors import LanguageModelError
from asr.lm.config import LmTextConfig, RecurrentConfig
from asr.lm.recurrent_file import RecurrentFile, read_recurrent
from asr.lm.recurrent_network import RecurrentNetwork
from asr.lm.word_stream import encode_texts
from asr.utils.compressed_text import read_blocks

KINDS = ("rnn", "gru", "lstm")
ORDERS = (2, 3, 4)
CONTEXTS = (1, 2, 3, 4, 8, 16, 32)  # words
VOCABULARY = ("--vocab", "5000")
NETWORK = (
    *("--units", "128", "--lanes", "32", "--samples", "300", "--updates", "2000", "--measure", "500"),
    *("--dropout", "0"),
)
DISTANCES = 40  # words, over which gradients are followed
WINDOWS = 256  # over which they are averaged


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="sentences, one per line; plain, .gz or .xz")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/lm"))
    parser.add_argument("--lines", type=int, default=130_000, help="of the text, to train on")
    parser.add_argument("--test_lines", type=int, default=1000, help="its last ones, to measure on")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train, test = options.output / "train.txt", options.output / "test.txt"
    if not test.exists():
        divide(options.text, train, test, options.lines, options.test_lines)
    results = {"ngram": {}, **{kind: {} for kind in KINDS}}
    for order in ORDERS:
        model = options.output / f"{order}gram.asrlm"
        asr_once(model, "train", train, "-o", model, "--order", order, *VOCABULARY)
        results["ngram"][str(order - 1)] = perplexity(model, test)
    for kind in KINDS:
        model = options.output / f"{kind}.safetensors"
        asr_once(model, "train", train, "-o", model, "--kind", kind, *VOCABULARY, *NETWORK)
        found = results[kind]
        found |= {"sentence": perplexity(model, test), "carried": perplexity(model, test, "--carry")}
        found["context"] = {str(words): perplexity(model, test, "--context", words) for words in CONTEXTS}
        found["gradient"] = [round(share, 6) for share in gradient_shares(read_recurrent(model), test)]
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(results, options.output / "memory.png")
    print(json.dumps(results, indent=1))


def divide(text: Path, train: Path, test: Path, lines: int, test_lines: int) -> None:
    """The first lines to train on, and the last ones to test on."""
    blocks = read_blocks(text, LanguageModelError)
    content = [line for block in blocks for line in block.splitlines(keepends=True)]
    if len(content) < lines + test_lines:
        raise SystemExit(f"{text}: {len(content):,} lines, fewer than --lines and --test_lines together")
    train.write_bytes(b"".join(islice(content, lines)))
    test.write_bytes(b"".join(content[-test_lines:]))


def asr_once(result: Path, *arguments: object) -> None:
    """`asr lm ...`, unless its result is there; a training run resumes, or says that it is finished."""
    if not result.exists() or result.with_name(f"{result.stem}-run").exists():
        asr(*arguments)


def asr(*arguments: object) -> str:
    """The output of `asr lm ...`; its messages go to the terminal."""
    command = [sys.executable, "-m", "asr", "lm", *map(str, arguments)]
    print(" ".join(["asr", *command[3:]]), file=sys.stderr)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def perplexity(model: Path, test: Path, *arguments: object) -> float:
    """What `asr lm perplexity` measures, unknown words included."""
    return float(asr("perplexity", model, test, *arguments).split()[1])


def gradient_shares(file: RecurrentFile, test: Path) -> list[float]:
    """How much a word's log-probability depends on the word vectors before it, by distance: the gradients' norms,
    averaged over windows of the test text, as shares of their sum."""
    options = RecurrentConfig(
        units=file.units, embedding=file.embedding, layers=file.layers, lanes=WINDOWS, dropout=0.0
    )
    network = RecurrentNetwork(file.kind, len(file.words), options).eval()
    weights = {name: torch.from_numpy(array) for name, array in file.weights.items()}
    network.load_state_dict(weights | {"state": network.state})
    index = {word: id for id, word in enumerate(file.words)}
    ids = np.concatenate(list(encode_texts([test], LmTextConfig(), index)))
    firsts = np.linspace(0, len(ids) - DISTANCES - 1, WINDOWS).astype(int)
    windows = torch.from_numpy(np.stack([ids[first : first + DISTANCES + 1] for first in firsts], axis=1)).long()
    vectors = network.embedding(windows[:-1]).detach().requires_grad_()
    outputs, _ = network.recurrent(vectors)
    network.loss(outputs[-1:], windows[-1:], 0).backward()
    norms = vectors.grad.norm(dim=2).mean(dim=1).flip(0)  # nearest word first
    return (norms / norms.sum()).tolist()


def draw(results: dict, path: Path) -> None:
    """Perplexity by context, and gradients by distance."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([int(words) for words in results["ngram"]], list(results["ngram"].values()), "o--", label="n-grams")
    for kind in KINDS:
        context = results[kind]["context"]
        left.plot([int(words) for words in context], list(context.values()), "o-", label=kind.upper())
        right.plot(range(1, DISTANCES + 1), results[kind]["gradient"], label=kind.upper())
    left.set(xscale="log", xlabel="words of context", ylabel="perplexity")
    left.set_xticks(CONTEXTS, [str(words) for words in CONTEXTS])
    left.minorticks_off()
    right.set(yscale="log", xlabel="distance, words", ylabel="share of the gradient")
    left.legend()
    right.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
