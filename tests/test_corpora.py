"""asr.data.corpora: each published layout, in miniature and with its faults, as the candidates that come out."""

from pathlib import Path

import pytest
from candidates import facts, read, sound, text

from asr.data.corpora import LAYOUTS, librispeech
from asr.errors import ConfigError, ManifestError

OF_FILES = ("table", "shards", "nemo", "huggingface", "synthetic")  # layouts that are no folder, or of many kinds


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in OF_FILES])
def test_a_folder_without_the_layout(tmp_path, layout):
    with pytest.raises(ManifestError, match=rf"{tmp_path}: not in the {layout} layout, no .* there"):
        read(layout, tmp_path)
    with pytest.raises(ManifestError, match="nowhere: no such folder"):
        read(layout, tmp_path / "nowhere")


# LibriSpeech


@pytest.fixture
def libri(tmp_path):
    root = tmp_path / "LibriSpeech"
    sound(root / "dev-clean/84/121/84-121-0000.flac")
    sound(root / "dev-clean/84/121/84-121-0001.mp3")
    text(root / "dev-clean/84/121/84-121.trans.txt", "84-121-0000 GO DO YOU HEAR", "84-121-0001 BUT IN LESS")
    sound(root / "train-clean-5/19/198/19-198-0000.wav")
    text(root / "train-clean-5/19/198/19-198.trans.txt", "19-198-0000 NORTHANGER ABBEY")
    text(root / "SPEAKERS.TXT", "; ID | NAME")
    return root


@pytest.mark.parametrize("above", ["", ".."])
def test_librispeech(libri, above):
    good, problems = read("librispeech", libri / above)
    assert not problems
    assert {id: facts(c, "speaker", "subset", "text") for id, c in good.items()} == {
        "84-121-0000": ("84", "dev-clean", "GO DO YOU HEAR"),
        "84-121-0001": ("84", "dev-clean", "BUT IN LESS"),
        "19-198-0000": ("19", "train-clean-5", "NORTHANGER ABBEY"),
    }
    assert good["84-121-0001"].audio == libri / "dev-clean/84/121/84-121-0001.mp3"


@pytest.mark.parametrize("part", ["dev-clean", "dev-clean/84", "dev-clean/84/121"])
def test_librispeech_in_part(libri, part, monkeypatch):
    monkeypatch.chdir(libri / part)
    good, _ = read("librispeech", ".")
    assert {facts(c, "speaker", "subset") for c in good.values()} == {("84", "dev-clean")}
    assert len(good) == 2


def test_librispeech_faults(libri):
    chapter = libri / "dev-clean/84/121"
    (chapter / "84-121-0001.mp3").unlink()
    sound(chapter / "84-121-0002.flac")
    sound(libri / "dev-clean/85/1/85-1-0000.flac")
    good, problems = read("librispeech", libri)
    assert sorted(good) == ["19-198-0000", "84-121-0000"]
    assert {id: problem.partition(";")[0] for id, problem in problems.items()} == {
        "84-121-0001": "no recording",
        "84-121-0002": "no transcript",
        "85-1-0000": "no transcript",
    }


def test_librispeech_audio_alone(tmp_path):
    sound(tmp_path / "train/19/198/19-198-0000.flac")
    with pytest.raises(ManifestError, match=r"no SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER\.trans\.txt there"):
        read("librispeech", tmp_path)


def test_librispeech_subset_behind_a_symbolic_link(libri, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dev").symlink_to(libri / "dev-clean")
    good, _ = read("librispeech", tmp_path / "data")
    assert {c.subset for c in good.values()} == {"dev"}
    assert len(good) == 2


def test_librispeech_download(tmp_path, monkeypatch):
    calls = []

    def fetch(root, url, download):
        calls.append((url, download))
        text(Path(root, "LibriSpeech", url, "84/121/84-121.trans.txt"), "84-121-0000 GO")

    monkeypatch.setattr("torchaudio.datasets.LIBRISPEECH", fetch)
    for _ in range(2):
        assert librispeech.download(tmp_path / "data" / "dev-clean") == tmp_path / "data/LibriSpeech/dev-clean"
    assert calls == [("dev-clean", True)]
    assert (tmp_path / "data/LibriSpeech/dev-clean/84/121/84-121.trans.txt").is_file()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["LibriSpeech"]


@pytest.mark.parametrize(
    "error",
    [OSError("<urlopen error\nno name>"), RuntimeError("invalid hash"), PermissionError(13, "Permission denied")],
)
def test_librispeech_download_that_fails(tmp_path, monkeypatch, error):
    def fetch(root, url, download):
        text(Path(root, "LibriSpeech", url, "half.txt"), "half")
        raise error

    monkeypatch.setattr("torchaudio.datasets.LIBRISPEECH", fetch)
    with pytest.raises(ManifestError, match=r"dev-clean: cannot be downloaded \(.*\); check the network") as caught:
        librispeech.download(tmp_path / "dev-clean")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("half.txt"))


def test_librispeech_download_of_another_name(tmp_path):
    with pytest.raises(ConfigError, match=r"'train-clean-5' is not an official LibriSpeech subset; .* dev-clean"):
        librispeech.download(tmp_path / "train-clean-5")


# Common Voice

HEADER = "client_id\tpath\tsentence\tup_votes\tage\tgender\taccents"


def test_common_voice(tmp_path):
    sound(tmp_path / "clips/cv_1.mp3", rate=32000)
    sound(tmp_path / "clips/cv_2.mp3", rate=32000)
    text(tmp_path / "train.tsv", HEADER, 'ab12\tcv_1.mp3\t"Oh," he said.\t2\tthirties\tmale\tScottish English')
    # Old releases: other columns, in another order, and no suffix.
    text(tmp_path / "dev.tsv", "path\tsentence\tclient_id\taccent", "cv_2\tIt's a \"quote.\tcd34\t")
    text(tmp_path / "validated.tsv", HEADER, "ab12\tcv_1.mp3\tagain\t2\t\t\t")
    good, problems = read("common_voice", tmp_path)
    assert not problems
    assert facts(good["cv_1"], "text", "speaker", "subset") == ('"Oh," he said.', "ab12", "train")
    assert good["cv_1"].extra == {"age": "thirties", "gender": "male", "accents": "Scottish English"}
    assert facts(good["cv_2"], "text", "speaker", "subset") == ("It's a \"quote.", "cd34", "dev")
    assert good["cv_2"].audio == tmp_path / "clips/cv_2.mp3"
    assert good["cv_2"].extra == {}


def test_common_voice_with_validated_alone(tmp_path):
    (tmp_path / "clips").mkdir()
    text(tmp_path / "validated.tsv", HEADER, "ab12\tcv_1.mp3\tagain\t2\t\t\t", "", "ab12\tcv_2.mp3\tshort row")
    good, problems = read("common_voice", tmp_path)
    assert good["cv_1"].subset == "validated"
    assert problems == {"validated.tsv:4": "broken row: 3 fields where the header has 7; fix validated.tsv"}


def test_common_voice_without_its_columns(tmp_path):
    (tmp_path / "clips").mkdir()
    text(tmp_path / "test.tsv", "path\ttext", "a.mp3\tone")
    with pytest.raises(ManifestError, match=r"test\.tsv: no column client_id, sentence in its header"):
        read("common_voice", tmp_path)


# LJ Speech


def test_ljspeech(tmp_path):
    for id in ("LJ001-0001", "LJ001-0002", "LJ001-0004"):
        sound(tmp_path / f"wavs/{id}.wav")
    text(
        tmp_path / "metadata.csv",
        'LJ001-0001|In 1450, "printing"|In fourteen fifty, "printing"',
        "LJ001-0002|in being modern.|",
        "LJ001-0003|lost|lost",
    )
    good, problems = read("ljspeech", tmp_path)
    assert {id: facts(c, "text", "speaker", "subset") for id, c in good.items()} == {
        "LJ001-0001": ('In fourteen fifty, "printing"', "LJ", "all"),
        "LJ001-0002": ("in being modern.", "LJ", "all"),
    }
    assert problems.keys() == {"LJ001-0003", "LJ001-0004"}
    assert problems["LJ001-0003"].startswith("no recording")
    assert problems["LJ001-0004"].startswith("no transcript")


def test_a_file_in_another_encoding_is_named(tmp_path):
    sound(tmp_path / "wavs/LJ001-0001.wav")
    (tmp_path / "metadata.csv").write_bytes("LJ001-0001|caf\u00e9|caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"metadata\.csv: not UTF-8 text \(.*byte 14\); convert it"):
        read("ljspeech", tmp_path)


# Speech Commands


def test_speech_commands(tmp_path):
    for name in ("bed/0a_nohash_0", "cat/0a_nohash_0", "cat/1b_nohash_0", "cat/2c_nohash_1", "_background_noise_/mew"):
        sound(tmp_path / f"{name}.wav")
    sound(tmp_path / "cat/recording.wav")
    text(tmp_path / "validation_list.txt", "cat/1b_nohash_0.wav")
    text(tmp_path / "testing_list.txt", "cat/2c_nohash_1.wav", "dog/9d_nohash_0.wav")
    good, problems = read("speech_commands", tmp_path)
    assert {id: facts(c, "text", "speaker", "subset") for id, c in good.items()} == {
        "bed/0a_nohash_0": ("bed", "0a", "train"),
        "cat/0a_nohash_0": ("cat", "0a", "train"),
        "cat/1b_nohash_0": ("cat", "1b", "dev"),
        "cat/2c_nohash_1": ("cat", "2c", "test"),
    }
    assert problems.keys() == {"cat/recording", "dog/9d_nohash_0"}
    assert problems["cat/recording"].startswith("no speaker in the name")
    assert problems["dog/9d_nohash_0"].startswith("no recording")


# Free Spoken Digit Dataset


def test_fsdd(tmp_path):
    for name in ("0_jackson_4", "7_jackson_5", "9_van_der_12", "10_theo_0", "notes"):
        sound(tmp_path / f"recordings/{name}.wav")
    good, problems = read("fsdd", tmp_path)
    assert {id: facts(c, "text", "speaker", "subset") for id, c in good.items()} == {
        "0_jackson_4": ("zero", "jackson", "test"),
        "7_jackson_5": ("seven", "jackson", "train"),
        "9_van_der_12": ("nine", "van_der", "train"),
    }
    assert problems.keys() == {"10_theo_0", "notes"}


# Kaldi


@pytest.fixture
def kaldi(tmp_path):
    folder = tmp_path / "data" / "train_nodup"
    sound(folder / "talk.wav", 2.0)
    text(folder / "wav.scp", "talk talk.wav", f"far {tmp_path}/far.wav", "tel sph2pipe -f wav tel.sph |")
    text(folder / "text", "anna-1 good  morning", "anna-2 and welcome")
    text(folder / "utt2spk", "anna-1 anna", "anna-2 anna")
    text(folder / "segments", "anna-1 talk 0.25 1.0", "anna-2 talk 1.5 -1")
    return folder


def test_kaldi_segments(kaldi):
    good, problems = read("kaldi", kaldi)
    assert not problems
    assert {id: facts(c, "text", "speaker", "subset", "offset", "duration") for id, c in good.items()} == {
        "anna-1": ("good  morning", "anna", "train_nodup", 0.25, 0.75),
        "anna-2": ("and welcome", "anna", "train_nodup", 1.5, None),
    }
    assert {c.audio for c in good.values()} == {kaldi / "talk.wav"}


def test_kaldi_without_segments_and_speakers(kaldi, monkeypatch):
    (kaldi / "segments").unlink()
    (kaldi / "utt2spk").unlink()
    text(kaldi / "text", "talk good morning", "far from here")
    good, problems = read("kaldi", kaldi)
    assert facts(good["talk"], "text", "speaker", "offset", "duration") == ("good morning", "", 0.0, None)
    assert good["far"].audio == kaldi.parent.parent / "far.wav"
    assert problems == {"tel": "no transcript; add it to the file 'text'"}


def test_kaldi_paths_from_the_working_folder(kaldi, monkeypatch):
    monkeypatch.chdir(kaldi.parent)
    text(kaldi / "wav.scp", "talk train_nodup/talk.wav")
    good, _ = read("kaldi", kaldi)
    assert good["anna-1"].audio == kaldi / "talk.wav"


def test_kaldi_faults(kaldi):
    text(kaldi / "text", "anna-1 a", "b-1 b", "c-1 c", "d-1 d", "e-1 e", "f-1 f")
    text(kaldi / "utt2spk", *(f"{id} s" for id in ("anna-1", "b-1", "c-1", "e-1", "f-1")))
    text(
        kaldi / "segments",
        "anna-1 talk 0 1",
        "b-1 tel 0 1",
        "c-1 nobody 0 1",
        "d-1 talk 0 1",
        "e-1 talk zero one",
        "g-1 talk 0 1",
    )
    good, problems = read("kaldi", kaldi)
    assert good.keys() == {"anna-1"}
    assert problems == {
        "b-1": "wav.scp has a command instead of a file; --kaldi.run_commands runs it if you trust it",
        "c-1": "no recording; add 'nobody' to wav.scp or remove the utterance",
        "d-1": "no speaker; add the utterance to utt2spk",
        "e-1": "broken segment: 'e-1 talk zero one' is not UTTERANCE RECORDING START END",
        "f-1": "no segment; add the utterance to the file 'segments' or remove its text",
        "g-1": "no transcript; add it to the file 'text'",
    }


def test_kaldi_tables_with_tabs_and_odd_line_ends(kaldi):
    (kaldi / "text").write_text("\ufeffanna-1\tone\u2028two\x85\x0bthree  four\r\nb-1 \t five\n", encoding="utf-8")
    (kaldi / "utt2spk").write_text("anna-1\tanna\nb-1   ben\n")
    (kaldi / "segments").write_text("anna-1\ttalk\t0\t1\nb-1 talk 1\t2\n")
    good, _ = read("kaldi", kaldi)
    assert (good["anna-1"].text, good["anna-1"].speaker) == ("one\u2028two\x85\x0bthree  four", "anna")
    assert (good["b-1"].text, good["b-1"].speaker, good["b-1"].offset) == ("five", "ben", 1.0)


def test_kaldi_two_lines_for_one_recording(kaldi):
    text(kaldi / "wav.scp", "talk talk.wav", "talk other.wav")
    with pytest.raises(ManifestError, match=r"wav\.scp: 'talk' has two lines"):
        read("kaldi", kaldi)


# AISHELL


@pytest.mark.parametrize("inside", ["data_aishell", ""])
def test_aishell(tmp_path, inside):
    root = tmp_path / "data_aishell"
    sound(root / "wav/train/S0002/BAC009S0002W0122.wav")
    sound(root / "wav/test/S0764/BAC009S0764W0121.opus")
    sound(root / "wav/test/S0764/BAC009S0764W0122.wav")
    text(
        root / "transcript/aishell_transcript_v0.8.txt",
        "BAC009S0002W0122 而 对 楼市 成交",
        "BAC009S0764W0121 甚至 出现",
        "BAC009S0901W0001 没有 录音",
    )
    good, problems = read("aishell", tmp_path / inside)
    assert {id: facts(c, "text", "speaker", "subset") for id, c in good.items()} == {
        "BAC009S0002W0122": ("而对楼市成交", "S0002", "train"),
        "BAC009S0764W0121": ("甚至出现", "S0764", "test"),
    }
    assert problems["BAC009S0764W0122"].startswith("no transcript")
    assert problems["BAC009S0901W0001"].startswith("no recording")


def test_aishell_still_packed(tmp_path):
    text(tmp_path / "transcript/aishell_transcript_v0.8.txt", "BAC009S0002W0122 而 对")
    text(tmp_path / "wav/S0002.tar.gz", "packed")
    with pytest.raises(ManifestError, match=r"are the speakers' archives unpacked\?"):
        read("aishell", tmp_path)


# Folders


def test_folder(tmp_path):
    for name, words in (("anna/x", "one"), ("ben/x", "two"), ("ben/deep/y", "three\n  four"), ("z", "five")):
        sound(tmp_path / f"{name}.ogg")
        text(tmp_path / f"{name}.txt", words)
    good, problems = read("folder", tmp_path)
    assert not problems
    assert {id: facts(c, "text", "speaker", "subset") for id, c in good.items()} == {
        "anna/x": ("one", "anna", "all"),
        "ben/x": ("two", "ben", "all"),
        "ben/deep/y": ("three four", "ben", "all"),
        "z": ("five", "", "all"),
    }


def test_folder_faults(tmp_path):
    for name in ("a", "b", "c"):
        sound(tmp_path / f"{name}.flac")
    text(tmp_path / "a.txt", "one")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    text(tmp_path / "README.txt", "read me")
    good, problems = read("folder", tmp_path)
    assert good.keys() == {"a"}
    assert problems["b"].startswith(f"unreadable transcript: {tmp_path}/b.txt: not UTF-8 text")
    assert problems["c"] == "no transcript; write it into c.txt beside the recording"
    assert problems["README"].startswith("no recording")


def test_folder_names_recordings_of_other_kinds(tmp_path):
    text(tmp_path / "a.txt", "one")
    (tmp_path / "a.xyz").write_bytes(b"unknown")
    good, problems = read("folder", tmp_path)
    assert not good and "a.xyz" in problems["a"] and "ffmpeg" in problems["a"]
