"""Decoder weights for a model: a grid search over the log-probabilities of a dev set, refined around the best point.

What is called WER here is CER in a script without spaces, in which a sentence is one word.
"""

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asr.data.manifest import read_manifest
from asr.decoding.config import BeamConfig, DecoderConfig, decoder_file
from asr.decoding.decoder import GreedyDecoder, WordDecoder
from asr.decoding.rescoring import rank
from asr.errors import ConfigError, ManifestError
from asr.evaluation.alignment import score
from asr.evaluation.calibration import fit_slope
from asr.evaluation.config import TuneConfig
from asr.evaluation.terminal import percent
from asr.recognition.batch import transcribed, utterance_emissions
from asr.recognition.recognizer import Recognizer
from asr.text.normalizer import is_unspaced, normalize
from asr.utils.extras import require
from asr.utils.files import write_atomically
from asr.utils.progress import progress_bar

TOLERANCE = 0.001  # WER by which a smaller beam may exceed the best
FIRST_PRIOR_STEP, MOST_PRIOR_SCALE = 0.3, 0.9
#: Of the recurrent model in rescoring: its shares and the mixture's weights, as multiples of lm_weight.
SHARES, FACTORS = tuple(number / 10 for number in range(10)), (0.9, 1.0, 1.1, 1.2, 1.3)


@dataclass(frozen=True)
class Trial:
    """Weights with their dev WER."""

    lm_weight: float
    word_bonus: float
    prior_scale: float
    beam: int
    wer: float = 0.0

    @property
    def rank(self) -> tuple[float, ...]:
        """Lower is better: the WER, then smaller weights."""
        return self.wer, self.lm_weight, abs(self.word_bonus), self.prior_scale

    @property
    def weights(self) -> dict[str, Any]:
        """The options of beam search that were tried."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "wer"}


@dataclass(frozen=True)
class Rescoring:
    """Weights of a recurrent model with their dev WER."""

    rescore_share: float
    rescore_weight: float
    wer: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Lower is better: the WER, then less of the recurrent model and of a change in weight."""
        return self.wer, self.rescore_share, abs(self.rescore_weight - 1)

    @property
    def weights(self) -> dict[str, float]:
        """The options that were tried."""
        return {"rescore_share": self.rescore_share, "rescore_weight": self.rescore_weight}


@dataclass(frozen=True)
class Tuning:
    """What was tried, chosen and written."""

    chosen: Trial
    rate: str  # "WER" or "CER"
    greedy: float
    trials: tuple[Trial, ...]  # of the weights, all with one beam
    beams: tuple[Trial, ...]
    manifest: Path
    utterances: int
    path: Path  # decoder.toml
    rescorings: tuple[Rescoring, ...] = ()
    segment_slope: float = 1.0

    def to_text(self) -> str:
        """The result for a terminal."""
        best = self.chosen
        return "\n".join(
            [
                f"greedy       {percent(self.greedy)} {self.rate} on {self.manifest.name} "
                f"({self.utterances} utterances)",
                f"best         {percent(min(trial.wer for trial in self.trials))} of {len(self.trials)} weights tried",
                *(f"beam {trial.beam:<7} {percent(trial.wer)}" for trial in self.beams),
                f"chosen       lm_weight {best.lm_weight:g}, word_bonus {best.word_bonus:g}, "
                f"prior_scale {best.prior_scale:g}, beam {best.beam}: {percent(best.wer)}",
                *self._rescored(),
                f"written      {self.path} (transcribe and evaluate take their defaults from it), {self.picture}",
                f"NOTE         the weights are chosen on this set: measure {self.rate} on another one",
            ]
        )

    @property
    def picture(self) -> Path:
        """The file of the WER surface, if there is one."""
        return self.path.with_suffix(".png")

    @property
    def rescoring(self) -> Rescoring | None:
        """The best weights of the recurrent model; None without one."""
        return min(self.rescorings, key=lambda each: each.rank, default=None)

    @property
    def weights(self) -> dict[str, Any]:
        """The options of beam search that were chosen."""
        return self.chosen.weights | (self.rescoring.weights if self.rescoring else {})

    def _rescored(self) -> list[str]:
        best = self.rescoring
        if not best:
            return []
        alone = next(each for each in self.rescorings if not each.rescore_share and each.rescore_weight == 1)
        return [
            f"rescored     {percent(alone.wer)} without the recurrent model, {percent(best.wer)} with rescore_share "
            f"{best.rescore_share:g}, rescore_weight {best.rescore_weight:g}"
        ]


def tune(manifest: Path, model: Path, config: TuneConfig, by: str = "`asr tune`") -> Tuning:
    """Choose language model weight, word bonus, prior scale, beam and, with a recurrent model, its share by WER on a
    dev manifest; fit the slope of segments' confidence; and write them to `decoder.toml` beside the model file, with
    `decoder.png` (the WER surface) and `decoder.json` (all trials). `by` is what the first file names as its author.

    Raises `ConfigError` for greedy decoding, `ManifestError` for a set without words, `AudioError` naming a recording
    that cannot be read.
    """
    require("matplotlib")
    bench = Bench(manifest, model, config)
    trials = _search_weights(bench, config)
    best = min(trials, key=lambda trial: trial.rank)
    widths = sorted({*config.beams, config.search.beam.beam})
    beams = [best if width == best.beam else bench.measure(dataclasses.replace(best, beam=width)) for width in widths]
    least = min(trial.wer for trial in beams)
    chosen = next(trial for trial in beams if trial.wer <= least + TOLERANCE)
    tuning = bench.result(chosen, trials, beams, bench.rescore(chosen))
    _write(tuning, config.search, by)
    write_atomically(tuning.picture, draw_surface(tuning.trials, chosen, tuning.rate))
    return tuning


def keep_weights(manifest: Path, model: Path, config: TuneConfig, by: str) -> Tuning:
    """Write the decoder of `config` as it is to `decoder.toml` beside a model file, with the slope of segments'
    confidence, and its WER on a dev manifest to `decoder.json`. `by` and errors are those of `tune`."""
    bench, beam = Bench(manifest, model, config), config.search.beam
    chosen = bench.measure(Trial(beam.lm_weight, beam.word_bonus, beam.prior_scale, beam.beam))
    tuning = bench.result(chosen, [chosen], [chosen])
    _write(tuning, config.search, by)
    return tuning


class Bench:
    """The log-probabilities and references of a dev set, on which weights are tried.

    The constructor raises what `tune` raises.
    """

    def __init__(self, manifest: Path, model: Path, config: TuneConfig):
        run = config.run
        self._recognizer = Recognizer.load(model, run.device, config.search, run.precision, run.voice_activity)
        self._file, decoder = self._recognizer.file, self._recognizer.decoder
        if not isinstance(decoder, WordDecoder):
            raise ConfigError("nothing to tune for greedy decoding: give a language model with --lm, or a --lexicon")
        self._manifest, self._path, self._dev = manifest, decoder_file(model), read_manifest(manifest)
        self._references = [normalize(utterance.text, self._file.text) for utterance in self._dev]
        if not any(self._references):
            raise ManifestError(f"{manifest}: no words in its references")
        self._emissions = utterance_emissions(self._recognizer, self._dev, run.batch_seconds)
        self._searched = [decoder.searched(emission) for emission in self._emissions]
        self._decoder, self._beam, self._rescorer = decoder, decoder.beam.without_rescorer(), decoder.beam.rescorer
        self.has_priors, self._unspaced = bool(self._file.priors), is_unspaced(self._references)

    def measure(self, trial: Trial) -> Trial:
        """The trial with its WER."""
        return dataclasses.replace(trial, wer=self._wer(trial))

    def rescore(self, trial: Trial) -> tuple[Rescoring, ...]:
        """The WER by the recurrent model's weights, with a trial's other weights; nothing without such a model."""
        if self._rescorer is None:
            return ()
        config = dataclasses.replace(self._beam.config, hypotheses=self._beam.config.rescored, **trial.weights)
        found = self._beam.with_config(config).decode_batch(self._searched)
        scores = list(map(self._rescorer.word_scores, found))

        def measure(share: float, factor: float) -> Rescoring:
            weighed = dataclasses.replace(config, rescore_share=share, rescore_weight=factor)
            ranked = (rank(*item, weighed) for item in zip(found, scores, strict=True))
            return Rescoring(share, factor, self._score([best[0][1].text for best in ranked]))

        return tuple(measure(share, factor) for share in SHARES for factor in FACTORS)

    def result(
        self,
        chosen: Trial,
        trials: Sequence[Trial],
        beams: Sequence[Trial],
        rescorings: Sequence[Rescoring] = (),
    ) -> Tuning:
        """The tuning that ended with these trials, with the WER of greedy decoding and the slope of confidences."""
        greedy = GreedyDecoder(self._file.tokenizer).decode_batch(self._emissions)
        tuning = Tuning(
            chosen,
            "CER" if self._unspaced else "WER",
            self._score([decoding.text for decoding in greedy]),
            tuple(trials),
            tuple(beams),
            self._manifest,
            len(self._dev),
            self._path,
            tuple(rescorings),
        )
        return dataclasses.replace(tuning, segment_slope=self._fit_slope(tuning.weights))

    def _fit_slope(self, weights: dict[str, Any]) -> float:
        """The slope of segments' confidence under some weights."""
        beam = self._decoder.beam
        decoder = self._decoder.with_beam(beam.with_config(dataclasses.replace(beam.config, **weights)))
        found = decoder.decode_batch(self._emissions)
        pairs = transcribed(self._recognizer, self._dev, found)
        return fit_slope(score(pairs, self._file.text), self._file.text)

    def _wer(self, trial: Trial) -> float:
        decoder = self._beam.with_config(dataclasses.replace(self._beam.config, hypotheses=1, **trial.weights))
        return self._score([found[0].text for found in decoder.decode_batch(self._searched)])

    def _score(self, texts: Sequence[str]) -> float:
        texts = [normalize(text, self._file.text) for text in texts]
        return jiwer.cer(self._references, texts) if self._unspaced else jiwer.wer(self._references, texts)


def _search_weights(bench: Bench, config: TuneConfig) -> list[Trial]:
    """All trials: a coarse grid of weights, then smaller ones around the best point so far. Before each smaller grid a
    lower and a higher prior scale are tried."""
    search, has_lm = config.search.beam, config.search.lm != "none"
    weights = np.linspace(0, config.most_lm_weight, config.grid) if has_lm else np.zeros(1)
    bonuses = np.linspace(-config.most_word_bonus, config.most_word_bonus, config.grid)
    steps = [float(axis[1] - axis[0]) if len(axis) > 1 else 0.0 for axis in (weights, bonuses)]
    scale, scale_step = search.prior_scale, FIRST_PRIOR_STEP if bench.has_priors else 0.0
    trials: dict[tuple[float, ...], Trial] = {}

    def measure(weight: float, bonus: float, scale: float) -> None:
        point = round(float(weight), 4), round(float(bonus), 4), round(float(scale), 4)
        if point not in trials:
            trials[point] = bench.measure(Trial(*point, search.beam))
        advance(1)

    def best() -> Trial:
        return min(trials.values(), key=lambda trial: trial.rank)

    with progress_bar("tuning", len(weights) * len(bonuses) + (2 + 9) * config.rounds) as advance:
        for finer in range(1 + config.rounds):
            if finer:
                centre = best()
                for change in (-scale_step, scale_step):
                    scale = np.clip(centre.prior_scale + change, 0, MOST_PRIOR_SCALE)
                    measure(centre.lm_weight, centre.word_bonus, scale)
                centre, scale_step, steps = best(), scale_step / 2, [step / 2 for step in steps]
                weights = np.maximum(0, centre.lm_weight + steps[0] * np.array([-1, 0, 1]))
                bonuses = centre.word_bonus + steps[1] * np.array([-1, 0, 1])
                scale = centre.prior_scale
            for weight in weights:
                for bonus in bonuses:
                    measure(weight, bonus, scale)
    return list(trials.values())


def _write(tuning: Tuning, search: DecoderConfig, by: str) -> None:
    folder = tuning.path.parent

    def beside(path: str | Path) -> str:
        return json.dumps(os.path.relpath(path, folder), ensure_ascii=False)

    lines = [
        f"# By {by} on {tuning.manifest.name} ({tuning.utterances} utterances), {date.today()}: dev "
        f"{tuning.rate} {percent(tuning.chosen.wer)}, greedy {percent(tuning.greedy)}.",
        'decoder = "beam"',
        f"lm = {beside(search.lm) if search.lm != 'none' else json.dumps('none')}",
        *(f"{name} = {beside(path)}" for name in ("rescore", "lexicon", "hotwords") if (path := getattr(search, name))),
        f"hotword_boost = {search.hotword_boost!r}",
        f"segment_slope = {tuning.segment_slope:.3g}",
        "",
        "[beam]",
    ]
    tuned, defaults = tuning.weights, dataclasses.asdict(BeamConfig())
    values = dataclasses.asdict(search.beam) | tuned
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if key in tuned or value != defaults[key]]
    write_atomically(tuning.path, "\n".join(lines) + "\n")
    trials = [dataclasses.asdict(trial) for trial in (*tuning.trials, *tuning.beams)]
    rescorings = [dataclasses.asdict(each) for each in tuning.rescorings]
    record = {
        "manifest": tuning.manifest.name,
        "greedy_wer": tuning.greedy,
        "trials": trials,
        "rescorings": rescorings,
    }
    write_atomically(tuning.path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")


def draw_surface(trials: Sequence[Trial], chosen: Trial, rate: str) -> bytes:
    """The dev error rate over language model weight and word bonus, with the best prior scale at each point, as a PNG.
    Points are trials; colours between them are interpolated."""
    from matplotlib.figure import Figure

    ordered = sorted(trials, key=lambda trial: trial.wer, reverse=True)
    trials = list({(trial.lm_weight, trial.word_bonus): trial for trial in ordered}.values())

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    x, y = [trial.lm_weight for trial in trials], [trial.word_bonus for trial in trials]
    wers = 100 * np.array([trial.wer for trial in trials])
    # Colours cover the WERs near the best; far from it they are many times higher.
    levels = np.linspace(wers.min(), min(wers.max(), wers.min() + 20) + 1e-6, 21)
    if len(set(x)) > 2 and len(set(y)) > 2:
        shades = axes.tricontourf(x, y, wers, levels=levels, cmap="viridis_r", extend="max")
        figure.colorbar(shades, ax=axes, label=f"dev {rate}, %")
    points = axes.scatter(x, y, c=wers, s=18, cmap="viridis_r", edgecolors="white", linewidths=0.5)
    points.set_clim(levels[0], levels[-1])
    axes.plot(chosen.lm_weight, chosen.word_bonus, marker="*", color="crimson", markersize=15)
    axes.annotate(
        f"{100 * chosen.wer:.2f}%", (chosen.lm_weight, chosen.word_bonus), xytext=(9, 9), textcoords="offset points"
    )
    axes.set(xlabel="language model weight", ylabel="word bonus, nats")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
