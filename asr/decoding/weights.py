"""What words and hotwords add to the weight of a prefix, for compiled functions."""

import math

import numpy as np

from asr.decoding.arrays import NEW_WORD, NO_WORD, UNKNOWN_WORD
from asr.lm.query import query
from asr.utils.numba_cache import kernel


@kernel
def query_word(search, state, word):
    """ln P of a lexicon word or an unknown one by the language model, and the model's next state."""
    if not search.rules.has_lm:
        return 0.0, np.int64(state)
    rules, extra = search.rules, 0.0
    known = np.int64(search.graph.lm_word[word] if word >= 0 else rules.lm_unknown)
    if known == NEW_WORD:
        known, extra = np.int64(rules.lm_unknown), rules.new_word
    raw, state = query(search.lm, np.int64(state), known)
    return raw + extra, state


@kernel
def word_bias(rules, raw, word):
    """What a word with language model score `raw` adds to the logarithm of the weight."""
    return rules.lm_weight * raw + rules.word_bonus + (rules.unknown_penalty if word == UNKNOWN_WORD else 0.0)


@kernel
def word_weight(search, work, state, word):
    """The factor of the weight for a word after a language model state, from the cache if it was asked for lately."""
    place = (np.uint64(state) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(word)) & np.uint64(len(work.weights) - 1)
    known = work.weights[place]
    if known.state != state or known.word != word:
        raw, _ = query_word(search, state, word)
        known.state, known.word, known.weight = state, word, math.exp(word_bias(search.rules, raw, word))
    return known.weight


@kernel
def hotword_gain(search, state, token, word):
    """Hotword gain in nats and the next hotword state after a token that completes `word`, or NO_WORD.

    Where words are joined, no token marks the end of a word, so it is a symbol of its own.
    """
    hotwords, gain = search.hotwords, 0.0
    if search.rules.joined and word != NO_WORD:
        end = hotwords.next.shape[1] - 1
        gain += hotwords.gain[state, end]
        state = np.int64(hotwords.next[state, end])
    return gain + hotwords.gain[state, token], np.int64(hotwords.next[state, token])


@kernel
def look_ahead(search, lexical):
    """Weight of the likeliest word that can still be completed from a lexicon node."""
    return search.graph.ahead[lexical] if lexical >= 0 else search.rules.ahead_unknown
