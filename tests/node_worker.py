"""A process of `torchrun` that runs `asr`; with DIES_AT set, its node dies in the middle of that step: first the agent
that started it, then itself."""

import os
import signal
import sys

from asr.cli.main import main
from asr.training.trainer import Trainer

step = Trainer._step


def dying_step(self, *arguments):
    if self.progress.step == int(os.environ.get("DIES_AT", -1)):
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)


if __name__ == "__main__":
    Trainer._step = dying_step
    sys.exit(main())
