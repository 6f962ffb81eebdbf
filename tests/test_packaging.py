"""What is published: the wheel, built from a clean checkout, works in an environment of its own."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

import asr as package
from asr.utils.extras import EXTRAS

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "tests" / "data" / "1088-134315-0013.opus"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    pytest.importorskip("build")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs git, to tell the project's files from others")
    checkout, output = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(checkout)]
    built = subprocess.run(line, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return output


def test_the_wheel_has_the_package_and_nothing_else(distributions):
    (wheel,) = distributions.glob("*.whl")
    assert wheel.name.startswith(f"small_asr-{package.__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "asr"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert {name for name in names if name.startswith("asr/")} == {name for name in tracked if (ROOT / name).exists()}
    others = {Path(name).name for name in names if not name.startswith("asr/")}
    assert {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"} <= others
    (source,) = distributions.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert f"small_asr-{package.__version__}/README.md" in archive.getnames()


WITHOUT_EXTRAS = """
import importlib.machinery, os, sys
class Absent(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["ABSENT"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)
"""


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory) -> Path:
    """An environment with the wheel. The dependencies are those of this environment, less the packages that the
    variable ABSENT names; the package, its data and its command are the wheel's."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    (wheel,) = distributions.glob("*.whl")
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, env=variables())
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{Path(importlib.util.find_spec('numpy').origin).parents[1]}\n")
    (packages / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return environment


def variables(*extras: str) -> dict[str, str]:
    """The environment of a process that has these extras and no others."""
    absent = " ".join(package for package, extra in EXTRAS.items() if extra not in extras)
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    return kept | {"ABSENT": absent}


def test_the_installed_wheel_transcribes_without_extras(installed, tmp_path):
    def run(*line: str, status: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(line, cwd=tmp_path, env=variables(), capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done

    python = str(installed / "bin" / "python")
    where = run(python, "-c", "import asr; print(asr.__file__)").stdout
    assert Path(where.strip()).is_relative_to(installed)
    assert "No module named 'torch'" in run(python, "-c", "import torch", status=1).stderr
    words = run(str(installed / "bin" / "asr"), "transcribe", str(RECORDING)).stdout.split()
    assert {"vulgar", "attempt", "money."} <= set(words), "with punctuation: the wheel has all files of the model"


def test_the_installed_wheel_serves_with_the_extra_of_the_server_alone(installed, tmp_path):
    """As the image does, whose every package comes with the wheel's extras."""
    command = [str(installed / "bin" / "asr"), "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=variables("server"), stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            form = {"model": "whisper-1"}
            with RECORDING.open("rb") as file:
                answer = httpx.post(f"{address}/v1/audio/transcriptions", files={"file": file}, data=form, timeout=60)
            assert "vulgar attempt to obtain money." in answer.json()["text"]
            assert "<title>" in httpx.get(address).text, "the wheel has the page"
        finally:
            process.kill()
