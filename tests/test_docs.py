"""The documentation is true: its commands run, or at least parse, its links lead somewhere, and the site builds.

A block of the kind `console` or `pycon` is run for real and its output compared; `make examples` renews outputs. A
block of the kind `sh` has commands that cost too much, or need data: the real parsers take them, without running them.
"""

import doctest
import functools
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tyro

from asr.config import load_recipe

ROOT = Path(__file__).parent.parent
specification = importlib.util.spec_from_file_location("examples", ROOT / "docs" / "examples.py")
docs = sys.modules["examples"] = importlib.util.module_from_spec(specification)
specification.loader.exec_module(docs)

LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True).stdout.split()
ALL = [ROOT / name for name in LISTED if (ROOT / name).exists()] or docs.PAGES  # without git: those with examples

#: Programs other than ours that a page's commands may begin with.
OTHERS = {".", "cd", "curl", "docker", "ffmpeg", "git", "pip", "pre-commit", "head", "ln", "ray", "tail", "tensorboard"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(block: str) -> list[list[str]]:
    """The commands of a block, those of a pipeline one by one, as lists of words."""
    lines = block.replace("\\\n", " ").splitlines()
    pipelines = [shlex.split(line, comments=True) for line in lines]
    found = [" ".join(map(shlex.quote, words)).split(" '|' ") for words in pipelines if words]
    return [shlex.split(part) for parts in found for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in docs.PAGES if docs.blocks(page, "console")], ids=name_of)
def test_the_commands_print_the_outputs_on_the_page(page, compiled_decoder):
    with docs.workplace() as folder:
        for block in docs.blocks(page, "console"):
            for example in docs.examples(block):
                printed = docs.run(example.command, folder)
                hint = f"`{example.command}` prints otherwise than {page.name} shows; `make examples` renews the pages"
                assert docs.matches(example.output, printed), f"{hint}:\n{printed}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in docs.PAGES if docs.blocks(page, "pycon")], ids=name_of)
def test_the_python_of_the_page_prints_its_outputs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    test = doctest.DocTestParser().get_doctest("\n".join(docs.blocks(page, "pycon")), {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.fixture
def parse(asr, monkeypatch, tmp_path):
    """Take a command as its own parser does, without running it."""
    parse_with = tyro.cli

    def parsed(function, **options):
        return parse_with(functools.wraps(function)(lambda *values, **named: 0), **options)

    monkeypatch.setattr(tyro, "cli", parsed)
    # With colour in it, as where a CI forces it, the help of a script would not be found by its options' names.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    @functools.cache
    def help_of(script: str) -> str:
        line = [sys.executable, script, "--help"]
        return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    def take(words: list[str]) -> None:
        program, *rest = words
        if program == "torchrun":
            program, rest = "asr", words[words.index("asr") + 1 :]
        if program == "asr":
            result = asr(*rest)
            assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr}{result.stdout}"
        elif program in ("make", "python") and rest[0] != "-m":
            if rest[0] == "-C":  # whose first steps need data that are not here
                assert (ROOT / rest[1] / "Makefile").exists()
            elif program == "make":
                subprocess.run(["make", "--dry-run", *rest], cwd=ROOT, capture_output=True, check=True)
            else:
                known = help_of(rest[0]).replace("_", "-")
                unknown = [word for word in rest if word.startswith("--") and word.replace("_", "-") not in known]
                assert not unknown, f"{rest[0]} has no {unknown}"
        elif program == "python" and rest[1] not in ("pytest", "build"):
            assert importlib.util.find_spec(rest[1])
        else:
            assert program in OTHERS | {"python", "pytest"}, f"unknown program: {shlex.join(words)}"
            named = re.findall(r"\.\[([\w,]+)\]", " ".join(rest)) if program == "pip" else []
            assert set(",".join(named).split(",")) - {""} <= set(extras)

    return take


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in ALL if docs.blocks(page, "sh")], ids=name_of)
def test_the_commands_that_are_not_run_parse(page, parse, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in ("recipes", "tests", "benchmarks"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    titled = re.findall(r'^```toml title="(.+?)"\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)
    for name, recipe in titled:
        (tmp_path / name).write_text(recipe)
        load_recipe(tmp_path / name)
    for block in docs.blocks(page, "sh"):
        for words in commands(block):
            parse(words)
            if words[:2] == ["asr", "init"]:
                Path(words[words.index("-o") + 1]).touch()  # a later line trains with this recipe


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_commands_are_in_blocks_that_are_checked(page):
    """A command in an indented block, or in one of another kind, would not be."""
    checked = {"console", "pycon", "python", "sh", "text", "toml"}  # python: tests/test_server_docs.py
    text = page.read_text(encoding="utf-8")
    assert {found["kind"] for found in docs.BLOCK.finditer(text)} <= checked
    assert not re.search(r"^    (asr|make|python3?|torchrun|pip|pytest) ", docs.BLOCK.sub("", text), re.MULTILINE)


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links_lead_to_existing_files(page):
    text = docs.BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    made = {"reference/commands.md"}  # by docs/commands.py, when the site is built
    missing = [
        target
        for target in targets
        if not re.match(r"https?://|#|mailto:", target)
        and target not in made
        and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.slow
def test_the_site_builds_with_every_command_and_no_broken_link(tmp_path):
    pytest.importorskip("mkdocs")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    built = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "reference" / "commands.html").read_text()
    for name in ("transcribe", "train", "lm perplexity"):
        assert f"asr {name}</h" in re.sub(r"<a class=\"headerlink.*?</a>", "", page)
        assert f"usage: asr {name}" in page
    assert "Recognizer" in (tmp_path / "site" / "python.html").read_text()
