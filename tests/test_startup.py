"""What the command loads before it answers: nothing slow that it has no use for. Times are in benchmarks/README.md."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SLOW = {"torch", "torchaudio", "numpy", "numba", "matplotlib", "jiwer", "tensorboard", "rich", "soundfile", "typeguard"}
UNUSED_BY_GREEDY = {
    *("torch", "torchaudio", "numba", "matplotlib", "jiwer", "sympy", "tensorboard", "jinja2", "tokenizers")
}
SILENT = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST", "XDG_CACHE_HOME"}
MOST_SECONDS = 1.5  # of processor time for a list of commands: five times what it should take on an idle machine


def run(code: str) -> subprocess.CompletedProcess:
    """Run a program with this package; what it prints last on stdout are the names of the packages it has loaded."""
    program = f"import sys\ntry:\n    {code}\nfinally:\n    print(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


def loaded(result: subprocess.CompletedProcess) -> set[str]:
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import asr",
        *(f"from asr.cli.main import main; main({arguments})" for arguments in (["--help"], [], ["lm", "-h"])),
    ],
)
def test_a_list_of_commands_loads_nothing_slow(code):
    result = run(code)
    assert "asr" in loaded(result)
    assert loaded(result) & SLOW == set()


def test_help_of_a_command_needs_no_network():
    result = run("from asr.cli.main import main; main(['transcribe', '--help'])")
    assert "--batch_seconds" in result.stdout
    assert loaded(result) & (SLOW - {"typeguard"}) == set()


def test_greedy_transcription_does_not_wait_for_the_search_or_for_reports(model_path, noise_file):
    sound = noise_file("x.wav")
    result = run(f"from asr.cli.main import main; main(['transcribe', {str(sound)!r}, '-m', {str(model_path)!r}])")
    words, _ = result.stdout.splitlines()
    assert words
    assert loaded(result) >= {"onnxruntime", "numpy"}
    assert loaded(result) & UNUSED_BY_GREEDY == set()


def test_recognition_leaves_no_trace_of_telemetry(model_path, noise_file, tmp_path):
    """ONNX Runtime writes down what it is about to send: an identifier and a database in the cache, a file in /tmp."""
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    # It sends nothing from a continuous integration's machine, nor where something else has forbidden it.
    variables = {name: value for name, value in os.environ.items() if name not in SILENT}
    line = [sys.executable, "-m", "asr", "transcribe", str(noise_file("x.wav")), "-m", str(model_path)]
    subprocess.run(line, check=True, env=variables | home, cwd=Path(__file__).parent.parent)
    assert not list(tmp_path.glob(".cache/**/*onnxruntime*")) and not list((tmp_path / "tmp").iterdir())


def test_a_list_of_commands_is_quick():
    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = seconds()
    assert "transcribe" in run("from asr.cli.main import main; main(['--help'])").stdout
    assert seconds() - before < MOST_SECONDS
