"""The page in a real browser: Debian's Chromium, by Playwright, with a recording as its microphone."""

import json
import re
import shutil
import time
from pathlib import Path

import httpx
import pytest
import soundfile
from serving import serving

from asr.recognition.recognizer import Recognizer
from asr.server.config import ServeConfig

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RECORDING = Path(__file__).parent / "data" / "1088-134315-0013.opus"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu")


@pytest.fixture(scope="module")
def address(recognizer):
    with serving(recognizer, ServeConfig()) as (_, address):
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    microphone = tmp_path_factory.mktemp("microphone") / "speech.wav"
    samples, rate = soundfile.read(RECORDING)
    soundfile.write(microphone, samples, rate)
    options = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    options.append(f"--use-file-for-fake-audio-capture={microphone}")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=[*options, "--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[{"width": 1100, "height": 900}, {"width": 360, "height": 740}], ids=["desktop", "phone"])
def page(browser, address, request):
    context = browser.new_context(
        viewport=request.param, color_scheme="dark" if request.param["width"] < 500 else "light"
    )
    context.set_default_timeout(40_000)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda sent: sent.url.startswith((address, "blob:", "data:")) or problems.append(sent.url))
    page.goto(address)
    yield page
    context.close()
    # Chromium's console mentions each answer that is an error, which the page shows.
    assert not [problem for problem in problems if "responded with a status" not in problem]


def until(page, condition: str) -> None:
    """Wait for a condition; `wait_for_function` would need a page that may evaluate strings."""
    end = time.monotonic() + 40
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(100)


def test_files(page, recognizer, tmp_path):
    expected = recognizer.transcribe(RECORDING)
    page.set_input_files("#files", [RECORDING, RECORDING])
    until(page, "document.querySelectorAll('article[data-state=done]').length === 2")
    card = page.locator("article").first
    assert card.locator(".text").inner_text().split() == expected.text.split()
    doubtful = [word.text for word in expected.words if word.confidence < 0.5]
    assert card.locator(".doubtful").all_inner_texts() == doubtful
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"

    card.locator(".text span").nth(3).click()
    until(page, f"document.querySelector('audio').currentTime >= {expected.words[3].start - 0.05}")
    card.locator(".text").press("ArrowRight")
    assert card.locator(".text .current").inner_text() == expected.words[4].text

    card.locator(".edit").click()
    page.evaluate("document.querySelector('.text span').textContent = 'two words'")
    for kind in ("txt", "srt", "vtt", "json", "TextGrid"):
        card.locator("select").select_option(kind)
        with page.expect_download() as download:
            card.locator(".download").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == f".{kind}" and "two" in path.read_text()
    words = json.loads((tmp_path / f"{RECORDING.stem}.json").read_text())["words"]
    assert len(words) == len(expected.words) + 1
    assert words[1]["end"] == pytest.approx(expected.words[0].end)


def test_a_file_that_is_no_recording(page, tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    page.set_input_files("#files", tmp_path / "x.wav")
    failed = page.locator("article[data-state=failed]")
    assert "Not transcribed" in failed.locator(".text").inner_text()


def test_recording_shows_words_while_someone_speaks(page):
    page.click("#record")
    until(page, "document.querySelector('#final').textContent || document.querySelector('#partial').textContent")
    until(page, "document.querySelector('#final').textContent.length > 3")
    page.click("#record")
    page.wait_for_selector("article[data-state=done]")
    assert page.locator("article .text span").count() > 0
    assert page.evaluate("document.querySelector('audio').duration") > 1


def test_every_control_has_a_name(page):
    page.set_input_files("#files", RECORDING)
    page.wait_for_selector("article[data-state=done]")
    for kind in ("button", "combobox", "textbox"):
        for element in page.get_by_role(kind).all():
            assert re.search(r"\S", element.evaluate("e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent"))
    assert page.get_by_role("textbox", name="Transcript of").count() == 1


def test_without_a_browser(address):
    response = httpx.get(address)
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)
    for body in ("", "{}", "\ud800".encode("utf-8", "surrogatepass"), '{"name": 1}', b"\xff"):
        assert httpx.post(f"{address}/write", content=body).status_code == 400
    assert httpx.get(f"{address}/static/../app.py").status_code == 404


def test_the_page_asks_for_the_key(browser, recognizer):
    with serving(recognizer, ServeConfig(), ["right"]) as (_, address):
        page = browser.new_page()
        page.goto(address)
        page.fill("#key input", "right")
        page.press("#key input", "Tab")
        until(page, "document.querySelector('#model').textContent")
        page.set_input_files("#files", RECORDING)
        page.wait_for_selector("article[data-state=done]")
        assert page.locator("#key").is_hidden()
        page.close()
