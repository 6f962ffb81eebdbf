"""How far the search agreed on each word: posteriors over the prefixes that were in the beam when it was heard.

At the end of an utterance the beam's prefixes differ in the last words alone, and say nothing of all others. So the
beam leaves snapshots behind (`search.SNAPSHOT_FRAMES`), and a word is judged by three of them, `LAGS`, the last of
them up to 20 frames behind it. A prefix agrees if it has the same word, ended at about the same time, as in frame-wise
word posteriors (Wessel et al. 2001); aligning the word sequences instead gave the same confidence for more work.
Prefixes count by the square root of their probability: scores that are sums over frames, as if these were
independent, are too sure of themselves.

A word's confidence (`decoder.WordDecoder`) is the geometric mean of this share and of its tokens' posteriors, which
know what the other does not. The normalised cross entropy (0 says nothing, 1 all) on librispeech-dev was, with the
letters of mini_librispeech, its 3-gram and 16, 64 or 256 prefixes, 0.15, 0.19 and 0.18 (their product: 0.18, 0.11,
0.06; the share alone: 0.01, 0.12, 0.13; the posteriors alone: 0.03, 0.04, 0.03).
"""

import numpy as np

from asr.decoding.arrays import NO_WORD, SNAPSHOT_PREFIXES, UNKNOWN_WORD, Beam, Graph, Spelling
from asr.decoding.prefixes import Endings, spell_word
from asr.utils.numba_cache import compiled, kernel

LAGS = (1, 2, 4)  # snapshots after the first one behind a word's end
LEAST_SHARE = 1e-3  # the best hypothesis was in the beam even where no snapshot had room for it
SLACK = 2  # snapshots by which the ends of a word may differ from one prefix to another


@compiled
def word_shares(best: int, endings: Endings, beam: Beam, graph: Graph, spelling: Spelling) -> np.ndarray:
    """For each word of ending `best` the share, 0..1, of the prefixes' weight that had it when it had been heard.

    Nodes are numbered in the order of their making, which tells the time: a word's is that of its last token.
    """
    nodes, taken = beam.nodes, beam.counts[3]
    moments, last = beam.moments[:taken], np.int64(len(nodes))  # `last`: behind all nodes, the utterance's end
    unfinished = np.full(SNAPSHOT_PREFIXES, UNKNOWN_WORD, np.int32)
    weights = np.sqrt(np.exp(endings.score - endings.score[best]))
    shares = np.zeros(nodes[endings.node[best]].depth + 1)
    place, end = len(shares), last
    node, word = np.int64(endings.node[best]), np.int64(endings.word[best])
    while True:
        before, text = spell_word(node, graph, nodes, spelling)
        if word != NO_WORD:
            place -= 1
            first = np.searchsorted(moments, node, side="right")
            low = moments[first - 1 - SLACK] if first > SLACK else 0
            high = moments[first + SLACK] if first + SLACK < taken else last
            share = 0.0
            for lag in LAGS:
                at = first + lag
                if end < last and at < taken:
                    share += _share(
                        end, word, text, low, high, beam.held[at].node, unfinished, beam.held[at].weight, graph, nodes,
                        spelling,
                    )  # fmt: skip
                else:
                    share += _share(
                        end, word, text, low, high, endings.node, endings.word, weights, graph, nodes, spelling
                    )
            shares[place] = min(1.0, max(LEAST_SHARE, share / len(LAGS)))
        if before == 0:
            return shares[place:]
        node, word, end = np.int64(nodes[before].parent), np.int64(nodes[before].word), before


@kernel
def _share(end, word, text, low, high, rivals, last_words, weights, graph, nodes, spelling):
    """The share of the rivals' weight that has the word: completed by node `end`, or with its last token among the
    nodes `low` .. `high`. A word that has not been completed is known by its spelling so far."""
    agreeing, whole = 0.0, 0.0
    for i in range(len(rivals)):
        node, other = np.int64(rivals[i]), np.int64(last_words[i])
        if node < 0:
            break
        whole += weights[i]
        above = node
        while above > end:
            above = np.int64(nodes[above].parent)
        if above == end:
            agreeing += weights[i]
            continue
        while node >= low:
            before, other_text = spell_word(node, graph, nodes, spelling)
            if node <= high and (other == word if other >= 0 else other != NO_WORD and other_text == text):
                agreeing += weights[i]
                break
            if before == 0:
                break
            node, other = np.int64(nodes[before].parent), np.int64(nodes[before].word)
    return agreeing / whole
