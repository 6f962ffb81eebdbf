"""Damaged manifests, model files, decoder.toml files and language models, each made from its number alone, as
`damaged_sounds` makes sounds."""

import functools
import gzip
import json
import lzma
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

SEED = 6
GOOD = {"id": "a", "audio_filepath": "good.wav", "duration": 0.25, "text": "a b", "speaker": "s"}
ABSURD = (
    "null", "true", "[]", "{}", '""', '"x"', "-1", "0", "-0.0", "1e999", "-1e999", "1e308", "1e-320", "NaN", "Infinity",
    "9" * 400, "9" * 6000, "0x10", '"\\ud800"', '"\\u0000"', '"a\\nb"', '"' + "x" * 300_000 + '"', "[" * 100_000,
    '{"a":' * 50_000, "[" * 900 + "]" * 900, '"\\', "'a'", "1_000", "[1,", '["a"]', "12345678901234567890123", "0.5",
)  # fmt: skip
COUNTS = {"manifest": 400, "model": 600, "decoder": 250, "lm": 400}


def damaged_manifest(number: int) -> tuple[str, bytes]:
    """The file's name and its content: a manifest, one of whose lines or bytes is not as it should be."""
    random = np.random.default_rng([SEED, number])
    records = [GOOD | {"id": str(index)} for index in range(3)]
    fields = [*GOOD, "offset", "extra"]
    if number < len(fields) * len(ABSURD):
        field, value = fields[number % len(fields)], ABSURD[number // len(fields)]
        return f"{field}.jsonl", _lines(records[:1]) + _with(records[1], field, value).encode() + b"\n"
    by_hand = [
        b"", b"\n\n\n", b"\0" * 1000, b"\xef\xbb\xbf" + _lines(records), _lines(records).decode().encode("utf-16"),
        _lines(records).replace(b"\n", b"\r"), _lines(records).replace(b"\n", b"\r\n"), _lines(records).rstrip(),
        _lines(records) * 2, _lines([GOOD | {"id": "a\nb" * 100_000}] * 2), b"[" + _lines(records) + b"]",
        gzip.compress(_lines(records), mtime=0), json.dumps(records, indent=1).encode(), b"x" * 5_000_000,
        _lines([GOOD | {"text": "word " * 1_000_000}]), b"\xff\xfe" * 100, b'"' + b"\\" * 1_000_000, b"[" * 2_000_000,
        _lines([GOOD | {"id": str(i), "duration": 1e308} for i in range(9)]), b"{}\n" * 20_000,
        _lines([GOOD | {"audio_filepath": name} for name in ("/dev/null", "/dev/zero", "/", ".", "a\0b", "x" * 5000)]),
        _lines([GOOD | {"id": i, "offset": 0.1 * i, "duration": 0.1} for i in range(9)]),
    ]  # fmt: skip
    number -= len(fields) * len(ABSURD)
    if number < len(by_hand):
        return "by-hand.jsonl", by_hand[number]
    return "bytes.jsonl", _damaged(random, bytearray(_lines(records)))


def damaged_model(number: int, good: bytes) -> tuple[str, bytes]:
    """The file's name and its content: the model file `good` with its header, metadata or bytes damaged."""
    random = np.random.default_rng([SEED, number])
    size = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    changes = _model_changes(header)
    if number < len(changes) // 3:
        name, change = changes[3 * number + number % 3]
        return f"{name}.safetensors", change(header, data)
    if number % 4 == 0:  # weights alone
        content = bytearray(good)
        for place in random.integers(8 + size, len(good), random.integers(1, 30)):
            content[place] ^= 1 << random.integers(8)
        return "weights.safetensors", bytes(content)
    if number % 4 == 1:  # the metadata's text alone, the file being whole
        text = _damaged(random, bytearray(header["__metadata__"]["asr"].encode()))
        header["__metadata__"]["asr"] = text.decode(errors="replace")
        return "metadata.safetensors", _safetensors(header, data)
    return "bytes.safetensors", _damaged(random, bytearray(good), near=8 + size)


def damaged_decoder(number: int) -> tuple[str, bytes]:
    """A decoder.toml with an absurd value or damaged bytes."""
    random = np.random.default_rng([SEED, number])
    good = b'decoder = "greedy"\nlm = "none"\nhotword_boost = 5.0\n\n[beam]\nbeam = 100\nlm_weight = 0.5\n'
    fields = ("decoder", "lm", "lexicon", "hotwords", "beam.lm_weight", '"a\\nb"')
    if number < len(fields) * len(ABSURD):
        field, value = fields[number % len(fields)], ABSURD[number // len(fields)]
        value = {"null": "", "NaN": "nan", "Infinity": "inf"}.get(value, value)
        return "decoder.toml", f"{field} = {value}\n".encode()
    return "decoder.toml", _damaged(random, bytearray(good))


def damaged_lm(number: int) -> tuple[str, bytes]:
    """An ARPA file, plain or compressed, or a compiled model."""
    random = np.random.default_rng([SEED, number])
    made = _lm_by_hand()
    if number < len(made):
        return made[number]
    if number % 2:
        return "bytes.arpa", _damaged(random, bytearray(ARPA.encode()))
    good = compiled_lm()
    size = int.from_bytes(good[:8], "little")
    return "bytes.asrlm", _damaged(random, bytearray(good), near=8 + size if random.random() < 0.8 else len(good))


ARPA = """\\data\\
ngram 1=7
ngram 2=5
ngram 3=2

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.3
-1.0\t</s>
-0.7\ta\t-0.2
-0.8\tb\t-0.1
-0.9\tc\t-0.4
-1.1\td

\\2-grams:
-0.3\t<s> a\t-0.1
-0.4\ta b\t-0.2
-0.5\tb c
-0.6\tc d
-0.2\td </s>

\\3-grams:
-0.1\t<s> a b
-0.2\ta b c

\\end\\
"""


@functools.cache
def compiled_lm() -> bytes:
    """The model of `ARPA`, compiled."""
    from asr.lm.arpa import read_arpa
    from asr.lm.ngram import NgramModel, save_compiled

    with tempfile.TemporaryDirectory() as folder:
        arpa, path = Path(folder, "a.arpa"), Path(folder, "a.asrlm")
        arpa.write_text(ARPA)
        save_compiled(path, NgramModel.from_trie(read_arpa(arpa)))
        return path.read_bytes()


@functools.cache
def _lm_by_hand() -> list[tuple[str, bytes]]:
    made: list[tuple[str, str | bytes]] = []
    for count in ("0", "-1", "1", "99999999999", "9" * 5000, "²", "1e3", ""):
        made += [("count.arpa", ARPA.replace(f"ngram {order}={old}", f"ngram {order}={count}"))
                 for order, old in ((1, 7), (2, 5), (3, 2))]  # fmt: skip
    for number in ("-1e999", "1e999", "-1e308", "-inf", "nan", "0e999", "-1e40", "5", "--1", "-", "1e", "", "-0.5x"):
        made += [("number.arpa", ARPA.replace(old, number, 1)) for old in ("-0.7", "-0.2", "-0.1", "-0.4")]
    made += [
        ("empty.arpa", b""), ("spaces.arpa", b" " * 30_000_000), ("blank-lines.arpa", b"\n" * 30_000_000),
        ("blank-lines.arpa.gz", gzip.compress(b"\n" * 2**24, mtime=0) * 12),
        ("no-lines.arpa.gz", gzip.compress(bytes(2**24), mtime=0) * 100),
        ("a-long-word.arpa", ARPA.replace("a\t-0.2", "a" * 5_000_000 + "\t-0.2")),
        ("cut.arpa.gz", gzip.compress(ARPA.encode(), mtime=0)[:-20]),
        ("cut.arpa.xz", lzma.compress(ARPA.encode())[:90]),
        ("no.arpa.gz", b"\x1f\x8b" + bytes(100)), ("no.arpa.xz", b"\xfd7zXZ\0" + bytes(100)),
        ("utf-16.arpa", ARPA.encode("utf-16")), ("latin.arpa", ARPA.replace("d", "é").encode("latin-1")),
        ("nul.arpa", ARPA.replace("-0.8\tb", "-0.8\tb\0")), ("nested.asrlm", _prefixed(b"[" * 200_000)),
        ("nested-object.asrlm", _prefixed(b'{"a":' * 200_000)), ("list.asrlm", _prefixed(b'{"__metadata__":[1]}')),
        ("huge-header.asrlm", struct.pack("<Q", 2**31) + b"{" + bytes(100)),
    ]  # fmt: skip
    header, data = _split(compiled_lm())
    metadata = json.loads(header["__metadata__"]["asr"])
    for key in metadata:
        made += [("metadata.asrlm", _relabelled(header, data, f'{json.dumps(metadata)[:-1]}, "{key}": {value}}}'))
                 for value in ABSURD if len(value) < 10_000]  # fmt: skip
    for name in set(header) - {"__metadata__"}:
        first, last = header[name]["data_offsets"]
        for offsets in (
            [first, last - 4],
            [first - 4, last],
            [last, first],
            [0, 4],
            [0, 10**12],
            [-4, last],
            [0.5, 2],
            7,
        ):
            made.append(
                ("offsets.asrlm", _safetensors(header | {name: header[name] | {"data_offsets": offsets}}, data))
            )
        made += [("shape.asrlm", _safetensors(header | {name: header[name] | {"shape": shape}}, data))
                 for shape in ([], [0], [10**12], [-1], ["a"], None, 3)]  # fmt: skip
        made.append(("missing.asrlm", _safetensors({key: header[key] for key in header if key != name}, data)))
    for starts in ([0], [0, 1], [0, 1, 8, 8], [0, 1, 2, 13, 15], [0, 1, 8, 13, 15, 15], ["a"] * 5, [15] * 5, [-1, 15]):
        text = json.dumps(metadata | {"starts": starts})
        made.append(("starts.asrlm", _relabelled(header, data, text)))
    return [(name, text.encode() if isinstance(text, str) else text) for name, text in made]


def _model_changes(header: dict) -> list[tuple[str, Callable[[dict, bytes], bytes]]]:
    """Names and makers of the model files that are damaged on purpose, metadata first, then tensors."""
    metadata = json.loads(header["__metadata__"]["asr"])
    changes = []
    for section, values in metadata.items():
        names = [(section,), *((section, name) for name in (values if isinstance(values, dict) else ()))]
        for value in (*(each for each in ABSURD if len(each) < 10_000), "1000000000", "1000", "1", "2"):
            changes += [("metadata", functools.partial(_changed_metadata, names=place, value=value)) for place in names]
    for value in (b"", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"{}", b"{", b'"\\ud800"', b"[]", b"7"):
        changes.append(("asr-metadata", lambda head, data, value=value: _relabelled(head, data, value.decode())))
        changes.append(("header", lambda head, data, value=value: _prefixed(value) + data))
    for size in (0, 1, 7, 8, 2**20, 100_000_000, 2**31, 2**32, 2**62, 2**63, 2**64 - 1):
        changes.append(("length", lambda head, data, size=size: struct.pack("<Q", size) + _safetensors(head, data)[8:]))
    for name in [name for name in header if name != "__metadata__"]:
        for entry in (
            {"shape": []}, {"shape": [2**40]}, {"shape": [0]}, {"shape": [2**32, 2**32]}, {"shape": [-1]},
            {"data_offsets": [0, 2**40]}, {"data_offsets": [4, 0]}, {"dtype": "F64"}, {"dtype": "I32"},
            {"dtype": "I8"}, {"dtype": "BOOL"}, {"dtype": "F8_E4M3"}, {"dtype": "x"},
        ):  # fmt: skip
            changes.append(("tensor", functools.partial(_changed_tensor, name=name, entry=entry)))
    return changes


def _changed_metadata(header: dict, data: bytes, names: tuple[str, ...], value: str) -> bytes:
    metadata = json.loads(header["__metadata__"]["asr"])
    inner = metadata
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = "HERE"
    return _relabelled(header, data, json.dumps(metadata).replace('"HERE"', value))


def _changed_tensor(header: dict, data: bytes, name: str, entry: dict) -> bytes:
    return _safetensors(header | {name: header[name] | entry}, data)


def _relabelled(header: dict, data: bytes, text: str) -> bytes:
    return _safetensors(header | {"__metadata__": header["__metadata__"] | {"asr": text}}, data)


def _safetensors(header: dict, data: bytes) -> bytes:
    return _prefixed(json.dumps(header).encode()) + data


def _prefixed(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def _split(file: bytes) -> tuple[dict, bytes]:
    size = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def _lines(records: list[dict]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _with(record: dict, field: str, value: str) -> str:
    """The record as JSON, or nearly, with this text for a value."""
    return json.dumps(record | {field: "HERE"}).replace('"HERE"', value)


def _damaged(random: np.random.Generator, data: bytearray, near: int | None = None) -> bytes:
    """Cut, flipped, overwritten or shuffled; `near` the first bytes mostly."""
    near = len(data) if near is None else near
    damage = random.integers(6)
    if damage == 0:
        del data[random.integers(len(data)) :]
    elif damage == 1:
        del data[: random.integers(1, near)]
    elif damage == 2:
        for place in random.integers(0, near, random.integers(1, 8)):
            data[place] ^= 1 << random.integers(8)
    elif damage == 3:
        for place in random.integers(0, near, random.integers(1, 4)):
            data[place] = random.integers(256)
    elif damage == 4:
        start = random.integers(near)
        first, last = sorted(random.integers(0, near, 2))
        data[start:start] = data[first:last]
    else:
        start = random.integers(near)
        size = int(min(random.integers(1, 40), near - start))
        data[start : start + size] = random.choice(np.array([0, 255, 57, 32], np.uint8)).tobytes() * size
    return bytes(data)
