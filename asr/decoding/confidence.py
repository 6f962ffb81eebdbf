"""How sure the search is of each word: posteriors over the hypotheses that are in the beam at the end."""

import math

import numpy as np
from numba import njit

from asr.decoding.prefixes import Endings, spell_words
from asr.decoding.search import Graph, Spelling

LEAST_WEIGHT = 1e-6  # relative to the best hypothesis


@njit(nogil=True, cache=True)
def word_posteriors(best: int, endings: Endings, graph: Graph, nodes: np.ndarray, spelling: Spelling) -> np.ndarray:
    """For each word of ending `best` the share, 0..1, of all endings' probability that has this word in its place.

    A word is in its place where the fewest edits from one word sequence to the other leave it alone (Levenshtein
    1966). Hypotheses that left the beam before the end count for nothing, so words far from the end look surer than
    they are.
    """
    room = 1
    for ending in range(len(endings.node)):
        room = max(room, nodes[endings.node[ending]].depth + 2)
    spelled, other = np.empty(room, np.uint64), np.empty(room, np.uint64)
    rows = spell_words(endings.node[best], endings.word[best], graph, nodes, spelling, spelled)
    posteriors, whole = np.zeros(rows), 0.0
    top = endings.score.max()
    for ending in range(len(endings.node)):
        weight = math.exp(endings.score[ending] - top)
        if weight < LEAST_WEIGHT:
            continue
        columns = spell_words(endings.node[ending], endings.word[ending], graph, nodes, spelling, other)
        _add_matches(spelled[:rows], other[:columns], weight, posteriors)
        whole += weight
    return np.minimum(posteriors[::-1] / whole, 1.0)


@njit(nogil=True, cache=True)
def _add_matches(best, other, weight, posteriors):
    rows, columns = len(best), len(other)
    cost = np.empty((rows + 1, columns + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(rows + 1), np.arange(columns + 1)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            change = cost[i - 1, j - 1] + (best[i - 1] != other[j - 1])
            cost[i, j] = min(change, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j = rows, columns
    while i > 0 and j > 0:
        same = best[i - 1] == other[j - 1]
        if cost[i, j] == cost[i - 1, j - 1] + (not same):
            posteriors[i - 1] += weight * same
            i, j = i - 1, j - 1
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
