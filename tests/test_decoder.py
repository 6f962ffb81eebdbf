"""The decoder that the options ask for, and what the command says of its first use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asr.decoding import decoder


def test_the_first_use_says_that_it_compiles(monkeypatch, capsys):
    monkeypatch.setattr(decoder, "COMPILING_SECONDS", 0.0)
    with decoder._told_if_slow():
        import time

        time.sleep(0.2)
    assert capsys.readouterr().err.count("compiling the search") == 1
    monkeypatch.setattr(decoder, "COMPILING_SECONDS", 60.0)
    with decoder._told_if_slow():
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_second_start_finds_what_the_first_has_compiled(tmp_path):
    program = (
        "import time, numpy as np; from asr.decoding.beam import BeamDecoder; "
        "d = BeamDecoder(['', ' ', 'a']); started = time.perf_counter(); "
        "d.decode(np.full((1, 3), -np.log(3))); print(time.perf_counter() - started)"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        float(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout)
        for _ in range(2)
    )
    assert second < first / 5
