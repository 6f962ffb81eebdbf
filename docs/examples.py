"""Run the commands that README.md and the pages of docs/ show, and write what they print into the pages.

In a block of the kind `console`, a shell runs the lines that begin with `$ `; the lines after each are what it prints.
All blocks of a page share an empty folder with links to tests/, recipes/ and LICENSE. `...` in an output stands for
anything, as in doctest: an output that matches is kept. tests/test_docs.py compares instead of writing.
"""

import doctest
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.\d{3,}")
TOLERANCE = 0.02
RECORDING = "tests/data/1088-134315-0013.opus"


@dataclass(frozen=True)
class Example:
    """A command and the output that a page shows for it, which ends with a line feed unless it is empty."""

    command: str
    output: str


def blocks(page: Path, *kinds: str) -> list[str]:
    """The bodies of a page's fenced blocks of these kinds."""
    return [found["body"] for found in BLOCK.finditer(page.read_text(encoding="utf-8")) if found["kind"] in kinds]


def examples(session: str) -> list[Example]:
    """The commands of a session with their outputs."""
    parts = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)
    assert not parts[0], f"a session begins with `$ `, not with {parts[0]!r}"
    return [Example(command, output) for command, output in zip(parts[1::2], parts[2::2], strict=True)]


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder that looks like a checkout to the commands, and keeps what they write."""
    with tempfile.TemporaryDirectory() as name:
        for part in ("tests", "recipes", "LICENSE"):
            (Path(name) / part).symlink_to(ROOT / part)
        yield Path(name)


def run(command: str, folder: Path) -> str:
    """What a command prints, errors included, by this checkout's `asr`."""
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": search, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    # Of the compilation, which only a first run does, the pages show nothing.
    return done.stdout + re.sub(r"^asr: (compiling|the first run).*\n", "", done.stderr, flags=re.MULTILINE)


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed. `...` stands for anything; confidences may differ by processor."""
    numbers = [NUMBER.findall(text) for text in (shown, printed)]
    if "..." not in shown and any(abs(float(a) - float(b)) > TOLERANCE for a, b in zip(*numbers, strict=False)):
        return False
    shown, printed = (NUMBER.sub("NUMBER", text) for text in (shown, printed))
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def renew(page: Path) -> None:
    """Write what its commands print into a page."""
    with workplace() as folder:

        def renewed(block: re.Match) -> str:
            if block["kind"] != "console":
                return block[0]
            session = ""
            for example in examples(block["body"]):
                printed = run(example.command, folder)
                output = example.output if matches(example.output, printed) else printed
                session += f"$ {example.command}\n{output}"
            return f"```console\n{session}```"

        text = BLOCK.sub(renewed, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def draw_picture() -> None:
    """What `asr inspect` draws of the test recording, small enough to be kept in git."""
    from PIL import Image

    with workplace() as folder:
        run(f"asr inspect {RECORDING} -o inside.png", folder)
        picture = Image.open(folder / "inside.png").convert("RGB")
        picture.thumbnail((1100, 2000))
        picture.save(ROOT / "docs" / "images" / "inspect.webp", quality=60, method=6)


def main() -> None:
    """Renew all pages and the picture."""
    for page in PAGES:
        renew(page)
        print(page.relative_to(ROOT))
    draw_picture()


if __name__ == "__main__":
    main()
