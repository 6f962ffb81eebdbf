"""asr.data.corpora.table: JSON Lines, CSV and TSV, and what is wrong in their rows."""

import pytest
from candidates import facts, read, text

from asr.errors import ManifestError


def test_table_of_json_lines(tmp_path):
    path = text(
        tmp_path / "train.jsonl",
        '{"id": "a", "audio_filepath": "x/a.wav", "text": "Un\u2028café?", "speaker": 7, "lang": "fr"}',
        "",
        '{"audio_filepath": "x/talk.wav", "offset": 2.5, "duration": 3, "text": ""}',
    )
    good, problems = read("table", path)
    assert not problems
    a, talk = good["a"], good["x/talk.wav@2.5"]
    assert facts(a, "text", "speaker", "subset", "extra") == ("Un\u2028café?", "7", "train", {"lang": "fr"})
    assert facts(a, "audio", "offset", "duration") == (tmp_path / "x/a.wav", 0.0, None)
    assert facts(talk, "text", "speaker", "offset", "duration") == ("", "", 2.5, 3.0)


def test_table_faults_are_reported_line_by_line(tmp_path):
    path = text(
        tmp_path / "dev.json",
        '{"audio_filepath": "a.wav", "text": "one"}',
        "",
        '{"audio_filepath": "b.wav", "text": "tw',
        '["c.wav", "three"]',
        '{"audio_filepath": "d.wav", "text": 4}',
        '{"text": "five"}',
        '{"audio_filepath": "f.wav", "text": "six", "offset": "soon"}',
        '{"audio_filepath": "g.wav", "text": "seven", "offset": -1}',
        '{"audio_filepath": "h\\u0000.wav", "text": "eight"}',
    )
    good, problems = read("table", path)
    assert good.keys() == {"a.wav"}
    starts = {
        "dev.json:3": "not JSON: ",
        "dev.json:4": "not a JSON object",
        "dev.json:5": "no text: text, sentence, transcript are missing or not text",
        "dev.json:6": "no audio_filepath: audio_filepath, path, audio, file are missing or not text",
        "dev.json:7": "no number of seconds: 'offset' is 'soon'",
        "dev.json:8": "no number of seconds: 'offset' is -1",
        "dev.json:9": "'audio_filepath' is not a path",
    }
    assert problems.keys() == starts.keys()
    for id, start in starts.items():
        assert problems[id].startswith(start)


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_table_of_separated_values(tmp_path, delimiter):
    lines = (
        "file,sentence,speaker,offset,duration,mood",
        f'a.wav,"one{delimiter} ""two""",anna,,,calm',
        "talk.wav,three,,1.5,0.5,",
        "b.wav,broken",
    )
    path = text(tmp_path / "test.csv", *(line.replace(",", delimiter) for line in lines))
    good, problems = read("table", path)
    assert facts(good["a.wav"], "text", "speaker", "subset", "extra") == (
        f'one{delimiter} "two"',
        "anna",
        "test",
        {"mood": "calm"},
    )
    assert facts(good["talk.wav@1.5"], "speaker", "offset", "duration", "extra") == ("", 1.5, 0.5, {})
    assert problems == {
        "test.csv:4": "broken row: 2 fields where the header has 6; quote values that hold the delimiter"
    }


def test_table_with_tabs_takes_quotation_marks_as_text(tmp_path):
    path = text(tmp_path / "all.tsv", "id\tpath\ttranscript", 'a\ta.wav\t"Yes, said he', "b\tb.wav\t")
    good, problems = read("table", path)
    assert not problems
    assert [facts(good[id], "text", "audio") for id in "ab"] == [
        ('"Yes, said he', tmp_path / "a.wav"),
        ("", tmp_path / "b.wav"),
    ]


def test_table_as_spreadsheets_write_it(tmp_path):
    """With a byte order mark, carriage returns and line breaks in quotes."""
    path = tmp_path / "all.csv"
    path.write_bytes('\ufeffpath;text\r\na.wav;"one\r\ntwo"\r\nb.wav;three\r\n'.encode())
    good, problems = read("table", path)
    assert not problems
    assert {id: c.text for id, c in good.items()} == {"a.wav": "one\ntwo", "b.wav": "three"}


def test_tables_that_are_none(tmp_path):
    with pytest.raises(ManifestError, match=r"all\.csv: no column text, sentence or transcript in its header row"):
        read("table", text(tmp_path / "all.csv", "path,words", "a.wav,one"))
    with pytest.raises(ManifestError, match=r"empty\.csv: no column audio_filepath"):
        read("table", text(tmp_path / "empty.csv"))
    with pytest.raises(ManifestError, match=r"open\.csv:3: .*; fix the quotation marks"):
        read("table", text(tmp_path / "open.csv", "path,text", 'a.wav,"one', "b.wav,two"))
    with pytest.raises(ManifestError, match=r"all\.xlsx: not a table; give a file that ends in \.jsonl"):
        read("table", tmp_path / "all.xlsx")
    with pytest.raises(ManifestError, match=r"none\.jsonl: No such file"):
        read("table", tmp_path / "none.jsonl")
