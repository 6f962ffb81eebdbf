"""The picture of the page of `asr serve`: python docs/page_picture.py [CHROMIUM]

Starts the server, gives its page the recording in tests/data, and writes docs/images/page.png. Needs the package
playwright and a Chromium, whose path may be given.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "tests" / "data" / "1088-134315-0013.opus"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--mute-audio"]


def main(chromium: str) -> None:
    """Write the picture."""
    command = [sys.executable, "-m", "asr", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server, sync_playwright() as engine:
        address = next(line.split()[-1] for line in server.stderr if "serving" in line)
        browser = engine.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 760, "height": 600})
        page.goto(address)
        page.set_input_files("#files", RECORDING)
        page.locator("article[data-state=done] canvas").wait_for(timeout=120_000)
        page.locator(".text").press("End")
        page.locator(".text span", has_text="blackmail").click()
        page.locator("audio").evaluate("audio => audio.pause()")
        page.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
        server.terminate()
    picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(ROOT / "docs/images/page.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium"))
