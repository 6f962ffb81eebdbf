"""The first use of the decoder on a machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_first_use_says_that_it_compiles_and_the_second_finds_what_it_cached(tmp_path):
    """Also when two processes start at once."""
    program = (
        "from asr.decoding.warm_up import compiling_search; from asr.decoding.beam import BeamDecoder\n"
        "import numpy as np\n"
        "with compiling_search(): BeamDecoder(['', ' ', 'a'])\n"
        "print(BeamDecoder(['', 'a']).decode(np.log([[0.1, 0.9]]))[0].text)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}

    def start():
        command = [sys.executable, "-c", program]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    for process in [start(), start()]:
        shown, said = process.communicate()
        assert (shown, said.count("compiles the decoder"), said.count("\n")) == ("a\n", 1, 1)
    assert start().communicate() == ("a\n", "")


@pytest.mark.slow
def test_a_second_start_finds_what_the_first_has_compiled(tmp_path):
    program = (
        "import time, numpy as np; from asr.decoding.beam import BeamDecoder; "
        "d = BeamDecoder(['', ' ', 'a']); started = time.perf_counter(); "
        "d.decode(np.full((1, 3), -np.log(3))); print(time.perf_counter() - started)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        float(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout)
        for _ in range(2)
    )
    assert second < first / 5
