"""The page of `asr serve` in a real Chromium, by Playwright, with a recording as its microphone."""

import itertools
import json
import re
import shutil
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import soundfile
from serving import serving

from asr.recognition.recognizer import Recognizer
from asr.server.config import LimitConfig, ServeConfig

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RECORDING = Path(__file__).parent / "data" / "1088-134315-0013.opus"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--mute-audio"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
PATIENCE = 120  # seconds, on a busy machine
pytestmark = pytest.mark.slow
needs_chromium = pytest.mark.skipif(
    not CHROMIUM or find_spec("playwright") is None,
    reason="needs the package playwright, and Chromium (apt-get install chromium)",
)


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load(device="cpu")


@pytest.fixture(scope="module")
def small(model_path):
    """A recogniser that takes little time and finds words of no sense in speech."""
    return Recognizer.load(model_path, "cpu")


@pytest.fixture(scope="module")
def expected(recognizer):
    return recognizer.transcribe(RECORDING)


@pytest.fixture(scope="module")
def address(recognizer):
    with serving(recognizer, ServeConfig()) as (_, address):
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    microphone = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(microphone, *soundfile.read(RECORDING))
    with sync_playwright() as engine:
        arguments = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open the page; at the end it must have had no error and no request to anywhere else."""
    contexts, problems = [], []

    def opened(address: str, width: int = 1000, scheme: str = "light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        contexts[-1].set_default_timeout(1000 * PATIENCE)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda sent: sent.url.startswith((address, "blob:", "data:")) or problems.append(sent.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    # The console mentions each answer that is an error, which the page shows.
    assert not [problem for problem in problems if "responded with a status" not in problem]


def until(page, condition: str) -> None:
    """Wait for a condition; the page's policy forbids `wait_for_function`."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(100)


def transcribed(page, *files):
    """The newest transcript, when all are ready."""
    before = page.locator("article").count()
    page.set_input_files("#files", files)
    until(page, f"document.querySelectorAll('article[data-state]').length === {before + len(files)}")
    return page.locator("article").first


@needs_chromium
def test_words_of_a_file_follow_the_sound(open_page, address, expected):
    card = transcribed(open_page(address), RECORDING)
    page, words = card.page, expected.words
    assert card.get_attribute("data-state") == "done"
    assert card.locator(".text span").all_inner_texts() == [word.text for word in words]
    uncertain = [word.text for word in words if word.confidence < 0.5]
    assert uncertain and card.locator(".uncertain").all_inner_texts() == uncertain
    card.locator("canvas").wait_for()
    assert page.evaluate("document.querySelector('canvas').getContext('2d').getImageData(300, 32, 1, 1).data[3] > 0")

    card.locator(".text span").nth(8).click()
    until(page, "!document.querySelector('audio').paused")
    until(page, "document.querySelector('.playing') !== null")
    playing = page.evaluate("Number(document.querySelector('.playing').dataset.start)")
    assert playing >= words[8].start
    text = card.locator(".text")
    text.press(" ")
    assert page.evaluate("document.querySelector('audio').paused")
    text.press("Home")
    text.press("ArrowRight")
    assert card.locator(".chosen").inner_text() == words[1].text
    assert words[1].text in card.locator("[aria-live]").inner_text()
    text.press("Enter")
    until(page, f"document.querySelector('audio').currentTime >= {words[1].start - 0.01}")


@needs_chromium
def test_a_transcript_is_edited_and_downloaded(open_page, address, expected, tmp_path):
    card = transcribed(open_page(address), RECORDING)
    page, words = card.page, expected.words
    card.locator(".edit").click()
    assert card.get_by_role("textbox", name="Transcript of").count() == 1
    page.evaluate("document.querySelector('.text span').textContent = 'Two Words'")
    page.keyboard.press("Control+End")
    page.keyboard.type(" at the end")
    page.keyboard.press("Escape")
    assert card.locator(".edit").inner_text() == "Edit"
    assert card.locator(".text span").first.inner_text() == "Two"
    for kind in ("txt", "srt", "vtt", "json", "TextGrid"):
        card.locator("select").select_option(kind)
        with page.expect_download() as download:
            card.locator(".download").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.name == f"{RECORDING.stem}.{kind}" and "Two" in path.read_text()
    found = json.loads((tmp_path / f"{RECORDING.stem}.json").read_text())["words"]
    assert [word["text"] for word in found] == [
        "Two",
        "Words",
        *(word.text for word in words[1:]),
        *("at", "the", "end"),
    ]
    assert found[1]["end"] == pytest.approx(words[0].end) and found[1]["confidence"] == 1
    assert found[-1]["end"] == pytest.approx(words[-1].end)
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in itertools.pairwise(found))


@needs_chromium
def test_words_appear_while_someone_speaks(open_page, small):
    with serving(small, ServeConfig()) as (_, address):
        page = open_page(address)
        page.fill("#names", "cab, bag")
        page.click("#record")
        until(page, "document.querySelector('#final').textContent || document.querySelector('#partial').textContent")
        assert page.locator("#record").get_attribute("aria-pressed") == "true"
        page.click("#record")
        page.locator("article[data-state=done]").wait_for()
        assert page.locator("#message").inner_text() == ""
        until(page, "document.querySelector('audio').duration > 0")  # it has read the recording
        seconds = page.evaluate("document.querySelector('audio').duration")
        last = float(page.locator("article .text span").last.get_attribute("data-end"))
        assert 0 < last <= seconds + 0.2


@needs_chromium
def test_several_files_one_of_which_is_none_on_a_phone(open_page, address, expected, tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    page = open_page(address, width=360, scheme="dark")
    transcribed(page, RECORDING, tmp_path / "x.wav")
    failed, done = page.locator("article[data-state=failed]"), page.locator("article[data-state=done]")
    assert "Not transcribed" in failed.locator(".failure").inner_text()
    assert done.locator(".text").inner_text().split() == expected.text.split()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")")
    assert all(int(part) < 50 for part in dark.split(","))
    for role in ("button", "combobox", "textbox", "group"):
        for element in page.get_by_role(role).all():
            name = element.evaluate("e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent")
            assert re.search(r"\S", name), element
    failed.locator(".remove").click()
    assert page.locator("article").count() == 1


@needs_chromium
def test_a_file_is_cancelled_and_the_key_is_asked_for(open_page, small, monkeypatch):
    with serving(small, ServeConfig(limit=LimitConfig(workers=1)), ["right"]) as (service, address):
        page = open_page(address)
        page.fill("#key input", "right")
        page.press("#key input", "Tab")
        until(page, "document.querySelector('#model').textContent")
        assert page.locator("#key").is_hidden()
        release = threading.Event()
        with monkeypatch.context() as patched:
            patched.setattr(service, "_parts", lambda path, phrases: release.wait(PATIENCE) and iter(()))
            page.set_input_files("#files", [RECORDING] * 3)
            for card in page.locator("article").all():
                card.locator(".remove").click()
            until(page, "document.querySelectorAll('article[data-state=failed]').length === 3")
            release.set()
        assert page.locator(".failure").all_inner_texts() == ["Cancelled."] * 3
        assert transcribed(page, RECORDING).get_attribute("data-state") == "done"


def test_without_a_browser(address):
    response = httpx.get(address)
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)
    for body in ("", "{}", "\ud800".encode("utf-8", "surrogatepass"), '{"name": 1}', b"\xff"):
        assert httpx.post(f"{address}/write", content=body).status_code == 400
    assert httpx.get(f"{address}/static/../app.py").status_code == 404
