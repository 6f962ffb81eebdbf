"""Options of the decoder, and the decoder.toml beside a model. The comments above the fields are the `--help` texts."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

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
    lm: Annotated[str, SHOWN] = "none"
    #: Word list, or words and their tokens as in CMUdict: nothing else can be recognised, unless open_vocabulary.
    lexicon: Annotated[Path | None, SHOWN] = None
    #: Phrases to prefer, one a line; a tab and a number behind one are its own boost.
    hotwords: Annotated[Path | None, SHOWN] = None
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
