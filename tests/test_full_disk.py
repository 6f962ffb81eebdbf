"""A disk that is full while something is written: one line that names the file, and no half file. `test_cli.py` has
the same for the commands that write a folder at the end."""

import pytest
from command_line import ERROR, assert_told
from tones import write_corpus

RECIPE = """
output = "run"
[data]
train = ["train.jsonl"]
dev = ["train.jsonl"]
[features]
mels = 20
[model]
channels = 4
layers = 1
width = 100
[training]
epochs = 1
batch_seconds = 10
workers = 0
"""


@pytest.mark.parametrize("suffix", ["arpa", "arpa.gz", "arpa.xz", "asrlm"])
def test_lm_train(asr, tmp_path, full_disk, suffix):
    (tmp_path / "text").write_text("one two three\nthree two one\n" * 50)
    output = tmp_path / f"lm.{suffix}"
    asr("lm", "train", tmp_path / "text", "-o", output)  # its compiled code is kept in a file, too
    output.unlink()
    with full_disk(10):
        assert_told(asr("lm", "train", tmp_path / "text", "-o", output), ERROR, output, "File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "named"), [(8_000, "run/features/"), (100_000, "run/checkpoint.safetensors")], ids=["features", "model"]
)
def test_train(asr, tmp_path, full_disk, size, named):
    write_corpus(tmp_path, "train", 6, 0)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    with full_disk(size):
        result = asr("train", tmp_path / "recipe.toml")
    assert result.returncode == ERROR
    *_, last = result.stderr.splitlines()
    assert last.startswith(f"asr: {tmp_path / named}") and last.endswith("File too large")
    assert "Traceback" not in result.stderr
    suffixes = {path.suffix for path in (tmp_path / "run").rglob("*")}
    assert not suffixes & {".part", ".safetensors"} and (".features" in suffixes) == (size > 8_000)


@pytest.mark.slow
def test_synthetic_speech(asr, tmp_path, full_disk):
    sizes = ["--synthetic.train", "1", "--synthetic.dev", "1", "--synthetic.test", "1"]
    with full_disk(1000):
        result = asr("prepare", "synthetic", "digits", "-o", tmp_path / "out", *sizes)
    assert_told(result, ERROR, tmp_path / "out", "File too large")
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"recordings.json"}, "its settings, by which the next run knows what it may keep"


def test_the_ledger_of_transcribe(asr, model_path, noise_file, tmp_path, full_disk):
    noise_file("in/a.wav", 0.3)
    arguments = ["transcribe", tmp_path / "in", "-m", model_path, "-o", tmp_path / "out"]
    with full_disk(50):  # enough for the words
        assert_told(asr(*arguments), ERROR, tmp_path / "out/.asr-written.jsonl", "No space left")
    assert asr(*arguments, "--resume").stdout == f"{tmp_path / 'out/a.txt'}\n", "half a line is none"
    assert asr(*arguments, "--resume").stdout == ""
