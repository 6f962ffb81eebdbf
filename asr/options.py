"""Every option of the commands other than `asr train` once: its unit, its default and why. The comments above the
fields are the `--help` texts."""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.config import AugmentConfig
from asr.values import FLAT, NotNegative, NotNegativeReal, Positive, PositiveReal, Share, below, from_values, read_toml

Format = Literal["txt", "json", "jsonl", "srt", "vtt", "ctm", "tsv", "TextGrid"]
TextFormat = Literal["auto", "jsonl", "ctm", "kaldi", "lines"]


@dataclass(frozen=True)
class LmTextConfig:
    """How a language model sees text: the same way in training, measuring and recognising."""

    #: Applied to the text first; choose what the recogniser's recipe has. 'nfc': Unicode NFC and single spaces,
    #: nothing else. 'basic': also lower case and no punctuation but apostrophes inside words. 'none': text as it is.
    normalizer: Literal["basic", "nfc", "none"] = "basic"
    #: Each character is a word of its own and spaces are dropped: for languages written without spaces.
    characters: bool = False

    @property
    def unit(self) -> str:
        """What n-grams are made of."""
        return "characters" if self.characters else "words"


@dataclass(frozen=True)
class LmConfig(LmTextConfig):
    """How text becomes a language model (interpolated modified Kneser-Ney)."""

    #: Words of the longest n-grams. 3 is the usual choice for recognition; 4 gains a few percent of perplexity and
    #: needs twice the memory.
    order: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    #: Leave out n-grams that occur this often or less: a value an order from 1 on, such as 0 0 1; the last one holds
    #: for all further orders. The first must be 0, and none may be below the one before it. Empty: all are kept.
    prune: tuple[NotNegative, ...] = ()
    #: Words to keep, the most frequent ones; all others become <unk>. 0 keeps all.
    vocab: NotNegative = 0
    #: Nats for each word of the text. Leave out n-grams whose loss costs less relative entropy than this (Stolcke
    #: 1998), best after prune 0 0 1: on 40 million words, 3e-8 then leaves 54% of a 3-gram model for 4% more
    #: perplexity, 1e-7 leaves 23% for 10% more. 0 keeps all.
    entropy: NotNegativeReal = 0.0
    #: Decimals of the numbers in ARPA files. 2 make the .arpa.xz of 2.2 million n-grams 34% smaller than 7 do, and its
    #: perplexity is the same (224.29 and 224.30).
    decimals: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7


@dataclass(frozen=True)
class SyntheticConfig:
    """The embedded corpus: sentences spoken by espeak-ng, for trying the program, for its tests and to begin training
    on, not for claims about human speech."""

    #: Utterances to learn from.
    train: Positive = 3000
    #: Utterances to judge each epoch by, in voices that train does not have.
    dev: Positive = 200
    #: Utterances for the report, in voices that neither train nor dev has.
    test: Positive = 400
    #: Share of utterances with background noise, at 10 to 30 dB below the speech.
    noise_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    #: Share of utterances heard in a room (a synthetic impulse response, 0.1 to 0.4 s until 60 dB down).
    reverberation_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    #: Chooses lines, voices, rooms and noise. The same seed gives the same corpus, sample for sample.
    seed: NotNegative = 0


@dataclass(frozen=True)
class SplitConfig:
    """Splits by speaker: nobody is heard in two of them. Leave both at 0 to keep the corpus's own subsets."""

    #: Share of the audio for dev.jsonl.
    dev: Share = 0.0
    #: Share of the audio for test.jsonl.
    test: Share = 0.0
    #: Chooses the speakers; the same seed and corpus always give the same split.
    seed: NotNegative = 0


@dataclass(frozen=True)
class PrepareConfig:
    """How a corpus becomes manifests."""

    #: Check transcripts against this recipe's text rules (alphabet, replacements), features and subsampling.
    #: Without it: any character is allowed, and frames are those of the default recipe.
    recipe: Path | None = None
    #: Seconds. Longer utterances are rejected.
    max_seconds: PositiveReal = 35.0
    #: With more rejected utterances than this the exit status is 1; the manifests are written all the same.
    max_rejects: NotNegative = 0
    #: LibriSpeech only: fetch and check the official subset that SOURCE ends in (such as data/dev-clean) first.
    download: bool = False
    split: SplitConfig = SplitConfig()
    synthetic: SyntheticConfig = SyntheticConfig()


@dataclass(frozen=True)
class BeamConfig:
    """Prefix beam search: how far it looks, and how much language model, words and hotwords count."""

    #: Prefixes kept in each frame. More finds better word sequences and takes longer.
    beam: Positive = 64
    #: Nats (natural logarithm) below the best prefix at which one is dropped; at most 600.
    beam_nats: PositiveReal = 16.0
    #: Tokens of each frame that may extend a prefix; 0: all of them.
    top_tokens: NotNegative = 0
    #: Frames whose blank is at least this probable pass as pure blanks; 1: none, the exact result.
    blank_skip: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    #: How much of the tokens' own frequency is taken out of their probabilities, from 0 up to 1: CTC names what is
    #: frequent, the blank before all, more often than it is heard.
    prior_scale: Share = 0.0
    #: Weight of the language model's log-probability beside the acoustic one, which has weight 1.
    lm_weight: NotNegativeReal = 0.5
    #: Nats added for each word: above 0 against deletions, below against insertions.
    word_bonus: float = 0.0
    #: Whether words outside the lexicon or language model may be written, letter by letter.
    open_vocabulary: bool = True
    #: Nats added for each such word, besides what the language model gives <unk>.
    unknown_penalty: Annotated[float, msgspec.Meta(le=0)] = -10.0
    #: Hypotheses to give for each utterance, the best first.
    hypotheses: Positive = 1


@dataclass(frozen=True)
class DecoderConfig:
    """From log-probabilities to words. A `decoder.toml` beside the model file, as `asr tune` writes it, has the
    defaults for that model."""

    #: 'greedy': the best token of each frame. 'beam': prefix beam search. 'auto': beam search if there is a language
    #: model, a lexicon or hotwords, else greedy.
    decoder: Literal["auto", "greedy", "beam"] = "auto"
    #: N-gram language model: an ARPA file of any tool (.arpa, .arpa.gz, .arpa.xz) or a compiled one (.asrlm); 'none'
    #: leaves out the one that decoder.toml names. With another one than decoder.toml's, or none, the options of its
    #: section [beam] do not hold: they were tuned with that one.
    lm: str = "none"
    #: Word list, or words and their tokens as in CMUdict: nothing else can be recognised, unless open_vocabulary.
    lexicon: Path | None = None
    #: Phrases to prefer, one a line; a tab and a number behind one are its own boost.
    hotwords: Path | None = None
    #: Nats that a hotword is preferred by.
    hotword_boost: PositiveReal = 5.0
    beam: Annotated[BeamConfig, FLAT] = BeamConfig()

    @property
    def is_greedy(self) -> bool:
        """Whether there is no search."""
        plain = self.lm == "none" and self.lexicon is None and self.hotwords is None
        return self.decoder == "greedy" or (self.decoder == "auto" and plain)

    @property
    def files(self) -> list[Path]:
        """What the decoder reads."""
        names = (None if self.lm == "none" else self.lm, self.lexicon, self.hotwords)
        return [Path(name) for name in names if name]

    def describe(self) -> str:
        """The decoder for a report: its files by name, and the weights that it has."""
        if self.is_greedy:
            return "greedy"
        beam, parts = self.beam, [f"beam {self.beam.beam}"]
        if self.lm != "none":
            parts.append(f"language model {Path(self.lm).name} (weight {beam.lm_weight:g})")
        if self.lexicon:
            parts.append(f"lexicon {self.lexicon.name}")
        if self.lm != "none" or self.lexicon:
            vocabulary = f"open (unknown word {beam.unknown_penalty:g})" if beam.open_vocabulary else "closed"
            parts.append(f"{vocabulary} vocabulary")
        if self.hotwords:
            parts.append(f"hotwords {self.hotwords.name} (boost {self.hotword_boost:g})")
        if beam.word_bonus:
            parts.append(f"word bonus {beam.word_bonus:g}")
        changed = [
            f"{name} {getattr(beam, name):g}"
            for name in ("prior_scale", "beam_nats", "top_tokens", "blank_skip")
            if getattr(beam, name) != getattr(BeamConfig(), name)
        ]
        return ", ".join(parts + changed)


@dataclass(frozen=True)
class AuditionConfig:
    """Hearing and seeing what a recipe's augmentation does."""

    #: Examples of each recording.
    examples: Positive = 4
    #: Another seed draws other examples.
    seed: NotNegative = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class RunConfig:
    """Where and how much at once a trained model computes."""

    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Arithmetic of the network. 'bfloat16' changes a word here and there and takes about half the time where the
    #: processor or GPU multiplies it natively; 'auto' takes it there. 'float32' gives the same words everywhere.
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    #: Seconds of audio that are recognised at once: more needs more memory, and helps on a GPU.
    batch_seconds: PositiveReal = 120.0


@dataclass(frozen=True)
class TranscribeConfig:
    """Sound to words."""

    #: One format or several. 'txt': the words. 'json': also each word's start and end in seconds and its confidence,
    #: 0 to 1, segments, other hypotheses if there are any, the model and the decoder's settings. 'jsonl': words on
    #: one line a recording, for many of them. 'srt', 'vtt': subtitles. 'ctm': NIST's word times. 'tsv': a table of
    #: words. 'TextGrid': for Praat.
    format: tuple[Format, ...] = ("txt",)
    #: Leave out what is done: inputs whose files, in every format asked for, are in the output folder, written by
    #: this command from the same sound file with the same model, language model and decoder options. None of these
    #: files may have changed since, by size and time; the transcripts may. Needs -o.
    resume: bool = False
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class AlignConfig:
    """When the words of a known text were said."""

    #: One format or several, as of `asr transcribe`. 'TextGrid' and 'json' have words, characters and doubtful words.
    format: tuple[Format, ...] = ("TextGrid",)
    #: Words less certain than this, of 0 to 1, are doubtful: the text may be another there, or the model weak.
    doubtful: Share = 0.3
    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True)
class InspectConfig:
    """One recognition from the inside."""

    #: Seconds, at most 60. Of a longer recording only the beginning is shown: wider pictures cannot be read.
    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 20.0
    #: Partial hypotheses: what is said when the first of so many equal parts have been heard, then the first two,
    #: and so on.
    partials: Positive = 20
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class ListenConfig:
    """Words while someone speaks."""

    #: Seconds that a network that looks both ways hears beyond a frame before what it says of it is final. More is
    #: surer and later.
    look_ahead: NotNegativeReal = 1.0
    #: Seconds of the past that it hears again in each step.
    history: PositiveReal = 8.0
    #: Seconds between steps. Each takes a computation over history and look_ahead.
    step: PositiveReal = 0.32
    #: Hertz of raw samples from standard input (16-bit little-endian, one channel).
    rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class EvaluateConfig:
    """Measuring on recordings with known transcripts."""

    #: Utterances whose spectrogram and posteriors the HTML report shows: of the worst ones, and of the first.
    pictures: NotNegative = 4
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class ScoreConfig:
    """Transcripts of any recogniser against references."""

    #: Applied to both sides before they are compared. 'basic': lower case, and no punctuation but apostrophes inside
    #: words. 'nfc': Unicode NFC and single spaces, nothing else.
    normalizer: Literal["basic", "nfc"] = "basic"
    #: The references have NIST's markup: '{ um / uh / @ }' for words that may be said in several ways or not at all,
    #: '(well)' for one that may be missing. What is nearest to the hypothesis counts.
    markup: bool = False
    #: What the references are. 'jsonl': JSON Lines with id and text, such as manifests. 'ctm': NIST's word times.
    #: 'kaldi': the name of an utterance and its words on each line. 'lines': the words alone. 'auto': by the name:
    #: .jsonl, .ctm, .txt (lines), without a suffix (kaldi).
    reference_format: TextFormat = "auto"
    #: What the hypotheses are, likewise; of JSON Lines, 'pred_text' comes before 'text'.
    hypothesis_format: TextFormat = "auto"


@dataclass(frozen=True)
class CompareConfig:
    """Two systems on one test set."""

    #: Utterances shown of those that B has better, and of those that it has worse.
    examples: NotNegative = 3


@dataclass(frozen=True)
class TuneConfig:
    """The search for decoder weights on a dev set."""

    #: Largest language model weight tried.
    most_lm_weight: PositiveReal = 2.0
    #: Nats. Word bonuses from minus this to this are tried.
    most_word_bonus: NotNegativeReal = 3.0
    #: Values of each in the first grid; each later grid has 3 by 3 around the best, half as far apart.
    grid: Annotated[int, msgspec.Meta(ge=2)] = 5
    #: Later grids.
    rounds: NotNegative = 3
    #: Beams tried with the best weights. The smallest one is chosen whose WER is within 0.1 points of the best.
    beams: tuple[Positive, ...] = (8, 16, 32, 64, 128, 256)
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


def decoder_file(model: Path) -> Path:
    """Where the decoder's defaults for a model file are kept."""
    return Path(model).with_name("decoder.toml")


def load_decoder(model: Path, lm: str | None = None, decoder: str | None = None) -> DecoderConfig:
    """The decoder's defaults for a model file: those of its decoder.toml, paths against its folder, or the built-in
    ones. Raises `ConfigError` naming the file.

    What a user has chosen may leave parts of decoder.toml without a use: weights hold for the language model that they
    were tuned with, not for another `lm`, and a greedy `decoder` reads no files.
    """
    path = decoder_file(model)
    if not path.exists():
        return DecoderConfig()
    config = from_values(DecoderConfig, read_toml(path, "decoder's defaults"), str(path))
    if (decoder or config.decoder) == "greedy":
        return dataclasses.replace(config, lm="none", lexicon=None, hotwords=None, beam=BeamConfig())
    names = {key: getattr(config, key) for key in ("lexicon", "hotwords") if getattr(config, key)}
    paths = {key: below(path.parent, name) for key, name in names.items()}
    tuned_with = config.lm if config.lm == "none" else str(below(path.parent, Path(config.lm)))
    other = lm is not None and os.path.realpath(lm) != os.path.realpath(tuned_with)
    return dataclasses.replace(config, lm=tuned_with, beam=BeamConfig() if other else config.beam, **paths)
