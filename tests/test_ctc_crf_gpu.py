"""The GPU's CTC-CRF against the CPU's, by Triton's interpreter, which needs no GPU."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
import torch
from triton.runtime import interpreter


class AnyInteger(type):
    def __call__(cls, value=0):
        return int(np.asarray(value).item())

    def __instancecheck__(cls, value):
        return isinstance(value, int)


# The interpreter of Triton 3.6 makes integers of arrays with one element, which NumPy 2.4 refuses.
interpreter.int = AnyInteger("int", (), {})

from asr.model.ctc_crf import Denominator, train_trigram
from asr.model.ctc_crf_gpu import sum_paths

random = np.random.default_rng(0)
tokens, lengths = 5, torch.tensor([7, 4, 1])
trigram = train_trigram([random.integers(1, tokens, 9) for _ in range(20)], tokens)
torch.manual_seed(0)
output = (2 * torch.randn(3, 7, tokens)).log_softmax(dim=-1).requires_grad_()
expected = Denominator.apply(output, lengths, trigram)
expected.backward()
totals, posteriors = sum_paths(output.detach().exp(), lengths, torch.from_numpy(trigram))
torch.testing.assert_close(totals.sum(), expected.detach())
torch.testing.assert_close(posteriors, output.grad)
print("equal")
"""


def test_equals_the_cpu():
    pytest.importorskip("triton", reason="PyTorch brings Triton on Linux only")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr
