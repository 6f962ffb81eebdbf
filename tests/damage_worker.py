"""Reads damaged files for test_damaged.py, in a process of its own: a crash or a hang in a library ends only this one.

Reads jobs from standard input, a line of JSON each, and answers each with a line of JSON: how it ended, what was said,
and what it took.

    python damage_worker.py MODEL
"""

import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from asr.audio.io import probe, read_audio
from asr.cli.info import describe
from asr.data.manifest import read_manifest
from asr.decoding.config import load_decoder
from asr.decoding.decoder import make_decoder
from asr.errors import AsrError, AudioError
from asr.lm.ngram import NgramModel
from asr.recognition.batch import Failure, recognize_utterances, transcribe_files
from asr.recognition.recognizer import Recognizer

ALLOWED = 3 << 30  # bytes of address space beyond the start: what asks for more gets a MemoryError, which is a fault
NOISE = (0.1 * np.random.default_rng(0).standard_normal(4000)).astype(np.float32)


def read_sound(recognizer: Recognizer, path: Path) -> str:
    with contextlib.suppress(AsrError):  # what it says, the pipeline says as well
        probe(path)
    ((_, result),) = transcribe_files(recognizer, [str(path)], 120.0)
    if isinstance(result, Failure):
        with contextlib.suppress(AsrError), read_audio(path) as audio:
            sum(map(len, audio.pieces))
            raise AssertionError(f"{path}: read_audio takes what the pipeline refuses")
        raise AudioError(result.reason)
    assert np.isfinite([(word.start, word.end, word.confidence) for word in result.words]).all()
    return f"{result.duration:.2f} s, {len(result.words)} words"


def read_utterances(recognizer: Recognizer, path: Path) -> str:
    utterances = read_manifest(path)
    describe(path)
    found = recognize_utterances(recognizer, utterances, 120.0)
    assert len(found.pairs) + len(found.failures) == len(utterances)
    for _, reason in found.failures:
        assert "\n" not in reason, reason
    return f"{len(found.pairs)} of {len(utterances)} recognised"


def read_model(_: Recognizer, path: Path) -> str:
    recognizer = Recognizer.load(path)
    describe(path)
    transcript = recognizer.transcribe(NOISE)
    assert np.isfinite([(word.start, word.end, word.confidence) for word in transcript.words]).all()
    return f"{len(transcript.words)} words"


def read_decoder(recognizer: Recognizer, path: Path) -> str:
    config, file = load_decoder(path.with_name("model.safetensors")), recognizer.file
    make_decoder(config, file.tokenizer, file.text, file.phones, file.priors)
    return config.describe()


def read_language_model(_: Recognizer, path: Path) -> str:
    model = NgramModel.load(path)
    scores = model.score(["a", "b", "c", "d", "a", "b"])
    assert np.isfinite([logp for logp, _ in scores]).all(), scores
    return f"{len(model.words)} words"


READERS = {
    "sound": read_sound,
    "manifest": read_utterances,
    "model": read_model,
    "decoder": read_decoder,
    "lm": read_language_model,
}


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(read, recognizer: Recognizer, path: Path) -> dict:
    started = time.perf_counter()
    try:
        end, said = "read", read(recognizer, path)
    except AsrError as error:
        end, said = type(error).__name__, str(error)
    except BaseException as error:
        end, said = "fault", f"{type(error).__name__}: {error}"[:500]
    return {"end": end, "said": said, "seconds": time.perf_counter() - started, "peak": peak()}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is found on standard error
    recognizer = Recognizer.load(sys.argv[1], "cpu")
    recognizer.transcribe(NOISE)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ALLOWED, resource.RLIM_INFINITY))
    print(json.dumps({"peak": peak()}), file=answers, flush=True)
    for line in sys.stdin:
        kind, path = json.loads(line)
        before = os.fstat(2).st_size
        answer = attempt(READERS[kind], recognizer, Path(path))
        sys.stderr.flush()
        answer["printed"] = os.fstat(2).st_size - before
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
