"""The `curl` lines and the Python of README and docs/server.md do what they show, and the image has what it copies."""

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import serving

from asr.recognition.recognizer import Recognizer
from asr.server.config import ServeConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "server.md"]
SHOWN = "http://127.0.0.1:8000"
LINES = [line for page in PAGES for line in re.findall(r"^curl .*", page.read_text(), re.MULTILINE)]
SCRIPTS = [script for page in PAGES for script in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)]


@pytest.fixture(scope="module")
def address(model_path):
    with serving(Recognizer.load(model_path, "cpu"), ServeConfig()) as (_, address):
        yield address


@pytest.fixture
def talk(noise_file, monkeypatch):
    """talk.wav in the current folder."""
    path = noise_file("talk.wav", 2.0)
    monkeypatch.chdir(path.parent)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_the_curl_lines(line, address, talk):
    command = ["sh", "-c", line.replace(SHOWN, address) + " --silent --show-error --fail-with-body"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(set(SCRIPTS)))
def test_the_python(script, address, talk, model_path):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(script.replace(SHOWN, address), "page", "exec"), {})
    assert printed.getvalue().strip() == Recognizer.load(model_path, "cpu").transcribe(talk).text


def test_there_are_examples():
    assert len(LINES) >= 4 and SCRIPTS


def test_the_image_gets_the_files_that_its_build_reads():
    kept = re.findall(r"^!(.*)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in kept)
    named = re.findall(r"(?:/src/|source=)([\w./]+)", (ROOT / "Dockerfile").read_text())
    assert {"constraints.txt", "tests/data"} <= set(named) <= set(kept)
