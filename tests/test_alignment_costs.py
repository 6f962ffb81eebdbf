"""asr.evaluation.alignment: the costs of an alignment; with sclite's, its counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.evaluation.alignment import COSTS, align_words, count

WORDS = st.lists(st.sampled_from("abc"), max_size=7)

# Correct, substituted, deleted and inserted words that sclite 2.4.10 prints.
SCLITE = [
    ("a b c", "x y a", (0, 3, 0, 0)),
    ("a b", "b a", (1, 0, 1, 1)),
    ("b a a", "a b c b", (1, 2, 0, 1)),
    ("a b c d", "b c d e", (3, 0, 1, 1)),
    ("a", "b c a", (1, 0, 0, 2)),
    ("a a b", "b", (1, 0, 2, 0)),
    ("c a b b", "b c", (1, 1, 2, 0)),
]


@pytest.mark.parametrize(("reference", "hypothesis", "counts"), SCLITE)
def test_counts_are_those_of_sclite(reference, hypothesis, counts):
    alignment = align_words(reference.split(), hypothesis.split(), COSTS["sclite"])
    errors = count(alignment)
    correct = errors.reference - errors.substitutions - errors.deletions
    assert (correct, errors.substitutions, errors.deletions, errors.insertions) == counts


@given(WORDS, WORDS)
@settings(deadline=None)
def test_an_alignment_has_all_words_and_the_least_cost(reference, hypothesis):
    costs = COSTS["sclite"]
    alignment = align_words(reference, hypothesis, costs)
    assert [word.reference for word in alignment if word.reference] == reference
    assert [word.hypothesis for word in alignment if word.hypothesis] == hypothesis
    errors = count(alignment)
    cost = sum(
        n * each for n, each in zip((errors.substitutions, errors.deletions, errors.insertions), costs, strict=True)
    )
    assert cost == least_cost(tuple(reference), tuple(hypothesis), costs)


def least_cost(reference, hypothesis, costs):
    row = [costs[2] * j for j in range(len(hypothesis) + 1)]
    for word in reference:
        above, row = row, [row[0] + costs[1]]
        for j, other in enumerate(hypothesis):
            match = above[j] + (0 if word == other else costs[0])
            row.append(min(match, above[j + 1] + costs[1], row[j] + costs[2]))
    return row[-1]
