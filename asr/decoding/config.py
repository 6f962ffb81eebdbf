"""Options of the decoder, and the decoder.toml beside a model. The comments above the fields are the `--help` texts."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils import storage
from asr.utils.config_io import (
    FLAT,
    SHOWN,
    NotNegative,
    NotNegativeReal,
    Positive,
    PositiveReal,
    Share,
    below,
    from_values,
    read_toml,
)


@dataclass(frozen=True)
class BeamConfig:
    """Prefix beam search: its width, and the weights of language model and words."""

    #: Prefixes kept per frame. A wider beam is more accurate and slower.
    beam: Positive = 64
    #: Drop prefixes that are more nats (natural logarithm) than this below the best one; at most 600.
    beam_nats: PositiveReal = 16.0
    #: Tokens per frame that may extend a prefix, the most probable first; 0: all.
    top_tokens: NotNegative = 0
    #: Treat frames whose blank is at least this probable as pure blanks, for speed. 1: off, which is exact.
    blank_skip: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    #: Share (0 to 1) of the tokens' log priors subtracted from their log-probabilities: CTC networks overestimate
    #: frequent tokens, above all the blank.
    prior_scale: Share = 0.0
    #: Weight of the language model's log-probability; the acoustic one has weight 1.
    lm_weight: NotNegativeReal = 0.5
    #: Nats added per word: above 0 against deletions, below 0 against insertions.
    word_bonus: float = 0.0
    #: Allow words outside the lexicon and language model, spelled letter by letter.
    open_vocabulary: bool = True
    #: Nats added per word outside the vocabulary, on top of the language model's score of <unk>.
    unknown_penalty: Annotated[float, msgspec.Meta(le=0)] = -10.0
    #: Hypotheses per utterance, the best first.
    hypotheses: Positive = 1
    #: Share of the --rescore model in each word's probability; the n-gram model has the rest.
    rescore_share: Share = 0.5
    #: Weight of this mixture's log-probability, as a multiple of lm_weight.
    rescore_weight: NotNegativeReal = 1.0
    #: Hypotheses to rescore.
    rescored: Positive = 50
    #: Words of context from a recording's earlier segments for the --rescore model. Above 0, segments are decoded one
    #: after the other.
    rescore_context: NotNegative = 0


@dataclass(frozen=True)
class DecoderConfig:
    """From log-probabilities to words. The `decoder.toml` beside a model file, as written by `asr tune`, holds the
    defaults for that model."""

    #: 'greedy': the best token of each frame. 'beam': prefix beam search. 'auto': 'beam' if there is a language model,
    #: a lexicon or hotwords, else 'greedy'.
    decoder: Literal["auto", "greedy", "beam"] = "auto"
    #: N-gram language model: an ARPA file (.arpa, .arpa.gz, .arpa.xz), a compiled one (.asrlm), or 'none'. Any other
    #: than the one in decoder.toml resets the options of its [beam] section, which were tuned for that model.
    lm: Annotated[str, SHOWN] = "none"
    #: Recurrent language model (.safetensors) that rescores the best hypotheses, together with --lm, or 'none'.
    rescore: Annotated[Path | None, SHOWN] = None
    #: File with the words that can be recognised, one per line, or words and their tokens as in CMUdict; or 'none'.
    lexicon: Annotated[Path | None, SHOWN] = None
    #: File with words and names to add to lexicon and language model for this run, one per line, with or without a
    #: pronunciation.
    vocabulary: Annotated[Path | None, SHOWN] = None
    #: File with phrases to prefer, one per line; a tab and a number after a phrase set its boost.
    hotwords: Annotated[Path | None, SHOWN] = None
    #: Boost of each hotword in nats, unless the file sets its own.
    hotword_boost: PositiveReal = 5.0
    #: Leave out words with a confidence (0 to 1) below this, since they may be outside the vocabulary. Reports of `asr
    #: evaluate` list thresholds with their error rates. 0: keep all.
    reject: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    #: Exponent on the product of a segment's word confidences that gives the segment's confidence; fitted by `asr
    #: tune`.
    segment_slope: PositiveReal = 1.0
    beam: Annotated[BeamConfig, FLAT] = BeamConfig()

    def __post_init__(self):
        for name in ("rescore", "lexicon", "vocabulary", "hotwords"):
            if str(getattr(self, name)) == "none":  # as of --lm
                object.__setattr__(self, name, None)

    @property
    def is_greedy(self) -> bool:
        """Whether the decoder takes the best token of each frame."""
        plain = self.lm == "none" and not (self.lexicon or self.vocabulary or self.hotwords)
        return self.decoder == "greedy" or (self.decoder == "auto" and plain)

    @property
    def files(self) -> list[Path]:
        """The files that the decoder reads."""
        names = (None if self.lm == "none" else self.lm, self.rescore, self.lexicon, self.vocabulary, self.hotwords)
        return [Path(name) for name in names if name]

    def describe(self) -> str:
        """The decoder for a report: its files by name, and its weights."""
        if self.is_greedy:
            return f"greedy, reject {self.reject:g}" if self.reject else "greedy"
        beam, parts = self.beam, [f"beam {self.beam.beam}"]
        if self.lm != "none":
            parts.append(f"language model {Path(self.lm).name} (weight {beam.lm_weight:g})")
        if self.rescore:
            weights = f"share {beam.rescore_share:g}, weight {beam.lm_weight * beam.rescore_weight:g}"
            parts.append(f"rescored with {self.rescore.name} ({weights})")
        if self.lexicon:
            parts.append(f"lexicon {self.lexicon.name}")
        if self.lm != "none" or self.lexicon:
            vocabulary = f"open (unknown word {beam.unknown_penalty:g})" if beam.open_vocabulary else "closed"
            parts.append(f"{vocabulary} vocabulary")
        if self.vocabulary:
            parts.append(f"new words {self.vocabulary.name}")
        if self.hotwords:
            parts.append(f"hotwords {self.hotwords.name} (boost {self.hotword_boost:g})")
        if beam.word_bonus:
            parts.append(f"word bonus {beam.word_bonus:g}")
        if self.reject:
            parts.append(f"reject {self.reject:g}")
        changed = [
            f"{name} {getattr(beam, name):g}"
            for name in ("prior_scale", "beam_nats", "top_tokens", "blank_skip")
            if getattr(beam, name) != getattr(BeamConfig(), name)
        ]
        return ", ".join(parts + changed)


def decoder_file(model: Path) -> Path:
    """The file of the decoder's defaults for a model file."""
    return storage.in_folder(model, storage.MODEL_NAME).with_name("decoder.toml")


def load_decoder(model: Path, lm: str | None = None, decoder: str | None = None) -> DecoderConfig:
    """The decoder's defaults for a model file: those of its decoder.toml, paths relative to its folder, or the built-in
    ones. Raises `ConfigError` naming the file.

    A user's choice may make parts of decoder.toml unused: weights apply to the language model that they were tuned
    with, not to another `lm`, and a greedy `decoder` reads no files.
    """
    path = decoder_file(model)
    if not storage.is_file(path):
        return DecoderConfig()
    config = from_values(DecoderConfig, read_toml(path, "decoder's defaults"), str(path))
    if (decoder or config.decoder) == "greedy":
        return dataclasses.replace(
            config, lm="none", rescore=None, lexicon=None, vocabulary=None, hotwords=None, beam=BeamConfig()
        )
    tuned_with = config.lm if config.lm == "none" else str(below(path.parent, Path(config.lm)))
    other = lm is not None and os.path.realpath(lm) != os.path.realpath(tuned_with)
    return dataclasses.replace(
        config,
        lm=tuned_with,
        rescore=None if other else config.rescore and below(path.parent, config.rescore),
        lexicon=config.lexicon and below(path.parent, config.lexicon),
        vocabulary=config.vocabulary and below(path.parent, config.vocabulary),
        hotwords=config.hotwords and below(path.parent, config.hotwords),
        beam=BeamConfig() if other else config.beam,
    )
