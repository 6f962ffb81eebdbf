"""Reports of `asr evaluate` -> the figures of the shipped model in expected.json, MODEL_CARD.md, README.md and this
recipe's README.md.

    for set in librispeech-dev librispeech-dev-clean commonvoice-dev speechocean762-dev; do
        asr evaluate $set.jsonl -o reports/$set
        asr evaluate $set.jsonl --decoder greedy -o reports/$set-greedy
    done
    python figures.py reports
"""

import json
import re
import sys
from pathlib import Path

RECIPE = Path(__file__).parent
ROOT = RECIPE.parent.parent
SETS = {  # the words by which README.md's table knows each set
    "librispeech-dev": "3 unseen speakers |",
    "librispeech-dev-clean": "10 unseen speakers, MP3",
    "commonvoice-dev": "101 speakers' own microphones",
    "speechocean762-dev": "15 unseen speakers whose first language",
}
RATE = r"\*{0,2}\d+\.\d\d%\*{0,2}"
INTERVAL = r"\d+\.\d\d% to \d+\.\d\d%"


def main(reports: Path) -> None:
    """Write the figures of the eight reports in this folder."""
    beam, greedy = ({name: read(reports / f"{name}{end}") for name in SETS} for end in ("", "-greedy"))
    write_expected(beam, greedy)
    for name in SETS:
        write_rows(name, beam[name], greedy[name])
    write_transcripts(beam["librispeech-dev"]["utterances"])


def read(folder: Path) -> dict:
    """A report by its folder."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def write_expected(beam: dict[str, dict], greedy: dict[str, dict]) -> None:
    """The figures that tests compare with."""
    path = RECIPE / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))
    expected["dev"] |= {"wer": rounded(greedy["librispeech-dev"]["wer"]["rate"])}
    expected["dev"] |= {"cer": rounded(greedy["librispeech-dev"]["cer"]["rate"])}
    for key, reports, options in (("shipped", beam, ""), ("shipped_greedy", greedy, " --decoder greedy")):
        expected[key] = {
            name: {
                "command": f"asr evaluate {name}.jsonl{options}",
                "wer": rounded(report["wer"]["rate"]),
                "wer_interval_over_speakers": [rounded(end) for end in report["wer_interval_over_speakers"]],
                "cer": rounded(report["cer"]["rate"]),
            }
            for name, report in reports.items()
        }
    path.write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def write_rows(name: str, beam: dict, greedy: dict) -> None:
    """The rows of one set in the tables of the three pages."""
    card, recipe, readme = ROOT / "MODEL_CARD.md", RECIPE / "README.md", ROOT / "README.md"
    for report, decoder in ((beam, r"phones, lexicon, language model"), (greedy, r"greedy \(letters\)")):
        speakers, utterances = (interval(report, over) for over in ("speakers", "utterances"))
        wer, cer = percent(report["wer"]["rate"]), percent(report["cer"]["rate"])
        row = rf"^(\| {name}: .* \| {decoder} \|) {RATE} \| {INTERVAL} \| {INTERVAL} \| {RATE} \|$"
        replace(card, row, rf"\1 **{wer}** | {speakers} | {utterances} | {cer} |")
    for speaker in beam["speakers"]:
        row = rf"^(\| {name} \| {re.escape(speaker['name'])} \| \d+ \|) {RATE} \|$"
        replace(card, row, rf"\1 {percent(speaker['rate'])} |", required=False)
    wer, over_speakers = percent(beam["wer"]["rate"]), interval(beam, "speakers")
    replace(recipe, rf"^(\| {name} \|) {RATE} \| {RATE}", rf"\1 {wer} | {percent(greedy['wer']['rate'])}")
    known_by = re.escape(SETS[name])
    replace(readme, rf"^(\| .*{known_by}.*\|) {RATE} \({INTERVAL}\) \|$", rf"\1 {wer} ({over_speakers}) |")


def write_transcripts(utterances: list[dict]) -> None:
    """The transcripts of recordings that the model card shows, by their references."""
    for each in utterances:
        row = rf"^(    reference   {re.escape(each['reference'])}\n    recognised ).*$"
        replace(ROOT / "MODEL_CARD.md", row, rf"\1 {each['hypothesis']}", required=False)


def replace(page: Path, row: str, by: str, required: bool = True) -> None:
    """Rewrite the first line of a page that matches; a missing one is an error if it is required."""
    text, count = re.subn(row, by, page.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    if required and not count:
        sys.exit(f"{page}: no row like {row}")
    page.write_text(text, encoding="utf-8")


def interval(report: dict, over: str) -> str:
    """A 95% interval of the WER as the tables have it."""
    return " to ".join(map(percent, report[f"wer_interval_over_{over}"]))


def percent(rate: float) -> str:
    """0.1796 -> 17.96%."""
    return f"{rate:.2%}"


def rounded(rate: float) -> float:
    """A rate with the digits of its percentage."""
    return round(rate, 4)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
