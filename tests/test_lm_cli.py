"""`asr lm` as a user meets it: help, what is printed and written, status, and bad input."""

import pytest
from command_line import COMPLETE, ERROR, assert_told


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The cat sat.\nThe dog sat!\nA cat ran\n" * 3)
    return path


def words(text):
    """Help without its frames and line breaks."""
    return " ".join(text.translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split())


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ((), ["train Train a language model on text", " compile ", " perplexity "]),
        (("train",), ["-o LM, --output LM", "--order INT Length of the longest n-grams.", "(default: 3)"]),
        (("train",), ["--prune", "--vocab INT", "--entropy FLOAT", "--normalizer {basic,nfc,none}"]),
        (("compile",), ["LM.arpa ARPA file", "-o LM.asrlm, --output LM.asrlm"]),
        (("perplexity",), ["LM Language model: ARPA, compiled or recurrent.", "TEXT Text files", "manifests (.jsonl)"]),
    ],
)
def test_help(asr, command, parts):
    result = asr("lm", *command, "--help")
    assert result.returncode == COMPLETE
    for part in parts:
        assert part in words(result.stdout)


def test_train_then_compile_then_perplexity_then_info(asr, text, tmp_path):
    arpa, compiled = tmp_path / "out/lm.arpa", tmp_path / "lm.asrlm"
    result = asr("lm", "train", text, "-o", arpa, "--order", 2)
    assert_told(result, COMPLETE, "asr: order 1, 2: too few different n-grams", "0.5, 1.0, 1.5")
    assert result.stdout.splitlines() == [
        "text        27 words in 9 sentences",
        "vocabulary  6 words",
        "1-grams     9",
        "2-grams     10",
        f"model       {arpa}",
    ]

    result = asr("lm", "compile", arpa, "-o", compiled)
    assert (result.returncode, result.stdout, result.stderr) == (COMPLETE, f"model  {compiled}\n", "")

    from_arpa, from_compiled = (asr("lm", "perplexity", model, text) for model in (arpa, compiled))
    assert (from_arpa.returncode, from_arpa.stderr) == (COMPLETE, "")
    assert from_arpa.stdout == from_compiled.stdout
    lines = from_arpa.stdout.splitlines()
    assert lines[0].startswith("perplexity  ")
    assert lines[1:3] == ["text        27 words in 9 sentences", "unknown     0 words (0.00%)"]
    assert lines[4] == "2-grams     36 found (100.0%)"

    shown = asr("info", compiled).stdout.splitlines()
    assert shown[0].startswith(f"language model   {compiled} (")
    assert shown[1:] == ["order            2", "1-grams          9", "2-grams          10"]
    assert asr("info", arpa).stdout.splitlines()[1:4] == shown[1:]


def test_train_straight_to_a_compiled_model(asr, text, tmp_path):
    for name in ("lm.asrlm", "lm.arpa.gz"):
        assert asr("lm", "train", text, "-o", tmp_path / name, "--prune", 0, 0, 1).returncode == COMPLETE
    shown = [asr("lm", "perplexity", tmp_path / name, text).stdout for name in ("lm.asrlm", "lm.arpa.gz")]
    assert shown[0] == shown[1]


def test_compile_without_output_is_used_by_what_reads_the_arpa(asr, text, tmp_path, monkeypatch):
    arpa = tmp_path / "lm.arpa"
    asr("lm", "train", text, "-o", arpa)
    assert asr("lm", "compile", arpa).stdout == f"model  {arpa}.asrlm\n"
    monkeypatch.setattr("asr.lm.arpa.read_arpa", None)
    assert asr("lm", "perplexity", arpa, text).returncode == COMPLETE


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("train", "gone.txt", "-o", "lm.arpa"), ["gone.txt: no such file"]),
        (("train", "-o", "lm.arpa"), ["no TEXT"]),
        (("train", "text.txt", "-o", "lm.bin"), ["lm.bin: not a model by its name", ".asrlm"]),
        (("train", "text.txt", "-o", "lm.arpa", "--order", "6"), ["options: order: ", "<= 5"]),
        (("train", "text.txt", "-o", "lm.arpa", "--prune", "1"), ["--prune begins with 1", "--vocab"]),
        (("train", "empty.txt", "-o", "lm.arpa"), ["empty.txt: no words in it"]),
        (("compile", "text.txt"), ["text.txt: not an ARPA file"]),
        (("compile", "gone.arpa"), ["gone.arpa: no such file"]),
        (("perplexity", "gone.arpa", "text.txt"), ["gone.arpa: no such language model; `asr lm train`"]),
    ],
)
def test_bad_input(asr, text, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    result = asr("lm", *arguments)
    assert_told(result, ERROR, *parts)
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.txt", "text.txt"]


def test_a_full_disk_leaves_nothing(asr, text, tmp_path, full_disk):
    with full_disk(1):
        result = asr("lm", "train", text, "-o", tmp_path / "lm.arpa")
    assert_told(result, ERROR, tmp_path / "lm.arpa")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt"]
