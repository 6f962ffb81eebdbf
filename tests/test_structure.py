"""The imports between the folders of `asr` point one way, and no two files import each other."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "asr"

# From the bottom up: a folder imports only from folders before it. `config` stands for the recipe and for each folder's
# config.py, which hold options and nothing else, so that any folder may read another's options.
ORDER = [
    *("errors", "transcript", "pretrained", "utils", "config", "output", "text", "audio", "model", "data", "lm"),
    *("decoding", "punctuation", "recognition", "training", "evaluation", "visual", "server", "cli"),
]


def module_name(path: Path) -> str:
    """`asr/lm/ngram.py` -> `asr.lm.ngram`, `asr/lm/__init__.py` -> `asr.lm`."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of `asr` that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES) or {node.module}
    return found & set(MODULES)


@functools.cache
def imports() -> dict[str, set[str]]:
    """The modules of `asr` that each of them imports."""
    return {name: imported(path) for name, path in MODULES.items()}


def position(module: str) -> int:
    """The place of a module's folder in `ORDER`."""
    parts = module.split(".")
    return ORDER.index("config" if parts[-1] == "config" else parts[1])


def test_every_import_points_to_the_same_folder_or_one_below():
    upward = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if module not in ("asr", "asr.__main__") and other != "asr" and position(other) > position(module)
    ]
    assert not upward, "\n".join(upward)


def test_no_circle_of_imports():
    done, path = set(), []

    def visit(module: str) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for other in sorted(imports()[module]):
            visit(other)
        done.add(path.pop())

    for module in imports():
        visit(module)


def test_the_root_of_the_package_holds_five_files():
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        *("__init__.py", "__main__.py", "config.py", "errors.py", "transcript.py")
    }


@pytest.mark.slow
def test_recognition_loads_nothing_of_training_augmentation_or_corpora(model_path):
    code = (
        "import sys, asr\n"
        f"asr.Recognizer.load({str(model_path)!r})\n"
        "print('\\n'.join(name for name in sys.modules if name.startswith('asr.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "asr.recognition.scorer" in loaded
    unwanted = ("asr.training", "asr.data", "asr.audio.augment", "asr.audio.effects", "asr.audio.spec_augment")
    assert not [name for name in loaded if name.startswith(unwanted)]
