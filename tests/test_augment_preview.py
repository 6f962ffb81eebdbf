"""`asr augment`: examples of a recipe's augmentation as sounds, and the page that plays and shows them."""

from urllib.parse import unquote

import soundfile
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from test_augment import band_decibels, recipe
from test_report import Page


def test_the_command_writes_sounds_and_pictures(asr, tmp_path, noise_file):
    sounds = [noise_file(name) for name in ("a/x.wav", "b/x.wav", "b/x.flac", "b/<i>ö #1%20?.wav")]
    out = tmp_path / "out"
    result = asr("augment", recipe(tmp_path, telephone_share=1), *sounds, "-o", out, "--examples", 2)
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert result.stdout.count("telephone (") == 8
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.wav"))
    names = ("a/x.wav", "b/<i>ö #1%20?.wav", "b/x.flac.wav", "b/x.wav.wav")
    assert written == sorted(f"{kind}/{name}" for kind in ("original", "example-1", "example-2") for name in names)
    for path in out.rglob("example-1/**/*.wav"):
        assert band_decibels(soundfile.read(path)[0], 4000, 8000) < -60
    page = Page((out / "index.html").read_text())
    assert [tag for tag in page.tags if tag == "audio"] == ["audio"] * 12
    assert page.text.count("telephone (") == 8 and "<i>ö" in page.text


def test_the_page_plays_the_files_beside_it(asr, tmp_path, noise_file):
    asr("augment", recipe(tmp_path), noise_file("a #1%20?.wav"), "-o", tmp_path / "out", "--examples", 1)
    page = Page((tmp_path / "out" / "index.html").read_text())
    sources = [value for name, value in page.values if name == "src"]
    assert [source for source in sources if ":" in source or source.startswith("/")] == []
    assert all((tmp_path / "out" / unquote(source)).is_file() for source in sources) and len(sources) == 2


def test_the_same_seed_gives_the_same_examples_and_options_override_the_recipe(asr, tmp_path, noise_file):
    sound, path = noise_file("x.wav"), recipe(tmp_path, noise_share=1)

    def example(*options) -> bytes:
        assert asr("augment", path, sound, "-o", tmp_path / "out", *options).returncode == COMPLETE
        return (tmp_path / "out" / "example-1" / "x.wav").read_bytes()

    assert example() == example() != example("--seed", 1)
    assert example("--augment.noise_share", 0) == (tmp_path / "out" / "original" / "x.wav").read_bytes()


def test_one_bad_sound_does_not_stop_the_others(asr, tmp_path, noise_file):
    good, long = noise_file("good.wav"), noise_file("long.wav", seconds=40)
    result = asr("augment", recipe(tmp_path), tmp_path / "none.wav", long, good, "-o", tmp_path / "out")
    assert result.returncode == PARTLY and result.stderr.count("\n") == 2
    assert "none.wav" in result.stderr and "long.wav: 40 s, more than data.max_seconds" in result.stderr
    assert (tmp_path / "out" / "example-4" / "good.wav").exists()


def test_no_sound_is_an_error(asr, tmp_path, noise_file):
    missing = tmp_path / "none.wav"
    assert_told(asr("augment", recipe(tmp_path), missing, "-o", tmp_path), ERROR, missing)
    sound = noise_file("out/original/x.wav")
    before = sound.read_bytes()
    assert_told(asr("augment", recipe(tmp_path), sound, "-o", tmp_path / "out"), ERROR, sound, "-o")
    assert sound.read_bytes() == before
    noiseless = recipe(tmp_path, noise='"no_such"')
    assert_told(asr("augment", noiseless, sound, "-o", tmp_path / "o"), ERROR, tmp_path / "no_such")
