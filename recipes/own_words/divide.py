"""A manifest -> test.jsonl of every n-th recording or prompt, train.jsonl of the others, or parts of it by minutes.

python recipes/own_words/divide.py MANIFEST --every 10 --by prompt --minutes 10 30 60 -o FOLDER
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from asr.data.division import first_minutes
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.text.config import TextConfig
from asr.text.normalizer import find_tags


def divide(utterances: Sequence[Utterance], every: int, by: str) -> tuple[list[Utterance], list[Utterance]]:
    """Train and test: every n-th recording ('recording'), or every n-th text with all its recordings ('prompt').

    Utterances of the test part that name a speaker are marked as by a speaker of train.
    """
    keys = [utterance.text if by == "prompt" else utterance.id for utterance in utterances]
    tested = set(list(dict.fromkeys(keys))[::every])
    train, test = ([u for u, key in zip(utterances, keys, strict=True) if (key in tested) == part] for part in (0, 1))
    return train, [u.marked_by_utterance() if u.speaker else u for u in test]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--every", type=int, required=True)
    parser.add_argument("--by", choices=("recording", "prompt"), default="recording")
    parser.add_argument("--minutes", type=float, nargs="*", default=[])
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    utterances = read_manifest(options.manifest)
    tagged = {u.id for u in utterances if find_tags(u.text, TextConfig())}
    if tagged:
        print(f"left out, since training refuses their tags: {', '.join(sorted(tagged))}")
    train, test = divide([u for u in utterances if u.id not in tagged], options.every, options.by)
    parts = {f"train-{minutes:g}": first_minutes(train, minutes) for minutes in options.minutes} or {"train": train}
    for name, part in (parts | {"test": test}).items():
        path = write_manifest(options.output / f"{name}.jsonl", part)
        print(f"{path}: {len(part)} utterances, {sum(u.duration for u in part) / 60:.1f} min")


if __name__ == "__main__":
    main()
