"""Language models from text: Kneser-Ney against a hand-worked example and a plain reference, pruning, reading."""

import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asr.errors import ConfigError, LanguageModelError
from asr.lm import counting
from asr.lm.config import LmConfig, LmTextConfig
from asr.lm.counting import Text, count_orders
from asr.lm.kneser_ney import FALLBACK, estimate
from asr.lm.ngram import NgramModel
from asr.lm.perplexity import measure_perplexity
from asr.lm.pruning import prune_by_entropy
from asr.lm.query import query
from asr.lm.training import train_model

SPECIAL = ["<unk>", "<s>", "</s>"]


def train(sentences, order, prune=()):
    """An estimate from sentences of small integers, which are word ids less 3."""
    words = SPECIAL + [f"w{id}" for id in range(max(id for sentence in sentences for id in sentence) + 1)]
    text = Text()
    for sentence in sentences:
        text.append(np.array([1, *(id + 3 for id in sentence), 2]))
    levels = count_orders(text, order)
    while len(levels[-1].word) == 0:
        levels.pop()
    return estimate(words, levels, prune)


# Estimates

sentences = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=30)
prunings = st.sampled_from([(), (0, 0, 1), (0, 1, 1, 2)])
ZERO_DISCOUNT = [[0, 1, 2, 2, 1, 2, 2, 2]]  # that of bigrams seen twice, by the estimate from their counts


def test_hand_worked_example(text_file):
    """'a b' and 'a', bigrams, by hand. The text is too small for discounts, so they are 0.5, 1 and 1.5.

    Adjusted counts: a 1 (after <s>), b 1 (after a), </s> 2 (after a and b); 4 in all, of which 0.5 + 0.5 + 1 are held
    back for the uniform distribution over <unk>, </s>, a and b: 1/2 * 1/4 each.
    """
    trained = train_model([text_file("a b", "a")], LmConfig(order=2))
    model = NgramModel.from_trie(trained.trie)
    assert trained.notes == [
        "order 1, 2: too few different n-grams to estimate Kneser-Ney discounts; using 0.5, 1.0, 1.5 instead"
    ]

    def p(*words):
        state = 0
        for word in words:
            logp, state = query(model.arrays, state, model.index[word])
        return math.exp(logp)

    assert p("<unk>") == pytest.approx(0.125)
    assert p("a") == p("b") == pytest.approx(0.25)
    assert p("</s>") == pytest.approx(0.375)
    assert p("<s>", "a") == pytest.approx((2 - 1) / 2 + 1 / 2 * 0.25)
    assert p("a", "b") == pytest.approx((1 - 0.5) / 2 + (0.5 + 0.5) / 2 * 0.25)
    assert p("a", "</s>") == pytest.approx(0.25 + 0.5 * 0.375)
    assert p("b", "</s>") == pytest.approx((1 - 0.5) / 1 + 0.5 * 0.375)
    assert p("b", "a") == pytest.approx(0.5 * 0.25)


def reference(sentences, order, prune):
    """Interpolated modified Kneser-Ney, slowly: {n-gram: P} of those kept, as Heafield et al. (2013) define it."""
    padded = [(1, *(id + 3 for id in sentence), 2) for sentence in sentences]
    raw = [Counter(s[i : i + n] for s in padded for i in range(len(s) - n + 1)) for n in range(1, order + 1)]
    del raw[0][(1,)]
    while not raw[-1]:
        raw.pop()
    vocabulary = {0, 2, *(word for s in padded for word in s if word != 1)}
    vocabulary |= set(range(3, max(vocabulary) + 1))
    p_lower, result = defaultdict(lambda: 1 / len(vocabulary)), {}
    for n in range(1, len(raw) + 1):
        counts = raw[n - 1]
        if n < len(raw):
            left = Counter(gram[1:] for gram in raw[n])
            counts = {gram: raw[n - 1][gram] if gram[0] == 1 else left[gram] for gram in counts}
        seen = Counter(min(count, 5) for count in counts.values())
        discounts = [0.0]
        for k in (1, 2, 3):
            if seen[1] and seen[2] and seen[3]:
                y = Fraction(seen[1], seen[1] + 2 * seen[2])
                discounts.append(k - (k + 1) * y * Fraction(seen[k + 1], seen[k]))
        if len(discounts) < 4 or min(discounts[1:]) <= 0:
            discounts = [0.0, *FALLBACK]
        threshold = prune[min(n, len(prune)) - 1] if prune else 0
        contexts = defaultdict(dict)
        for gram, count in counts.items():
            contexts[gram[:-1]][gram] = count
        p = {}
        for grams in contexts.values():
            total = sum(grams.values())
            kept = [gram for gram in grams if raw[n - 1][gram] > threshold]
            held_back = sum(discounts[min(grams[g], 3)] if g in kept else grams[g] for g in grams)
            for gram in {(word,) for word in vocabulary} if n == 1 else kept:
                count = grams.get(gram, 0)
                p[gram] = (count - discounts[min(count, 3)]) / total + held_back / total * p_lower[gram[1:]]
        result |= p
        p_lower = p
    return result


@settings(max_examples=40, deadline=None)
@given(sentences, st.integers(1, 4), prunings)
@example(ZERO_DISCOUNT, 2, ())
def test_estimates_are_those_of_the_reference(sentences, order, prune):
    trie = train(sentences, order, prune).trie
    expected = reference(sentences, order, prune)
    found = {}
    grams = {0: ()}
    for n in range(1, trie.order + 1):
        for node, parent in enumerate(trie.parents(n), start=trie.starts[n]):
            grams[node] = (*grams[int(parent)], int(trie.word[node]))
            if grams[node] != (1,):
                found[grams[node]] = math.exp(trie.logp[node])
    assert found == pytest.approx(expected, rel=1e-5)


def assert_sums_to_one(trie):
    """After every context, all words but <s>, which is never predicted, are possible; their probabilities sum to 1."""
    model = NgramModel.from_trie(trie)
    for context in range(len(model.arrays.backoff)):
        p = [math.exp(query(model.arrays, context, word)[0]) for word in range(len(model.words)) if word != 1]
        assert min(p) > 0 and sum(p) == pytest.approx(1, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(sentences, st.integers(1, 4), prunings, st.sampled_from([0.0, 1e-3, 1e-2, 0.1]))
@example(ZERO_DISCOUNT, 2, (), 0.0)
def test_probabilities_sum_to_one(sentences, order, prune, entropy):
    result = train(sentences, order, prune)
    assert_sums_to_one(result.trie)
    if entropy:
        share = result.occurrences / sum(len(sentence) + 1 for sentence in sentences)
        assert_sums_to_one(prune_by_entropy(result.trie, share, entropy))


@settings(max_examples=20, deadline=None)
@given(sentences, st.integers(2, 4))
def test_chunks_do_not_matter(sentences, order):
    whole = train(sentences, order).trie
    size = counting.CHUNK
    try:
        counting.CHUNK = 5
        chunked = train(sentences, order).trie
    finally:
        counting.CHUNK = size
    for name in ("word", "logp", "backoff", "children"):
        assert np.array_equal(getattr(whole, name), getattr(chunked, name))


@settings(max_examples=20, deadline=None)
@given(sentences)
@example(ZERO_DISCOUNT)
def test_entropy_pruning_removes_what_costs_less(sentences):
    """The cost of a bigram by the definition: relative entropy of its context's distribution before and after."""
    result = train(sentences, 2)
    model = NgramModel.from_trie(result.trie)
    share = result.occurrences / sum(len(sentence) + 1 for sentence in sentences)
    words = [word for word in range(len(model.words)) if word != 1]
    costs = {}
    unigram = {word: math.exp(query(model.arrays, 0, word)[0]) for word in words}
    for context in range(1, len(model.words) + 1):
        children = range(model.arrays.children[context], model.arrays.children[context + 1])
        explicit = {int(model.arrays.word[child]) for child in children}
        before = {word: math.exp(query(model.arrays, context, word)[0]) for word in words}
        for gone in explicit:
            rest = explicit - {gone}
            weight = (1 - sum(before[word] for word in rest)) / (1 - sum(unigram[word] for word in rest))
            after = {word: before[word] if word in rest else weight * unigram[word] for word in words}
            cost = share[context] * sum(before[word] * math.log(before[word] / after[word]) for word in words)
            costs[context, gone] = cost
    threshold = float(np.median(list(costs.values()))) * 1.01
    if min(abs(cost - threshold) for cost in costs.values()) < 1e-7:
        return  # too close for single precision to tell
    pruned = prune_by_entropy(result.trie, share, threshold)
    kept = set()
    if pruned.order == 2:
        kept = set(zip(pruned.parents(2).tolist(), pruned.word[pruned.starts[2] :].tolist(), strict=True))
    assert kept == {gram for gram, cost in costs.items() if cost >= threshold}


def corpus(words, sentences, seed=0):
    """Sentences of words with a Zipf distribution, in which each word favours some followers."""
    random = np.random.default_rng(seed)
    ids = [(random.zipf(1.5, 10) + np.arange(10) % 3).clip(max=words - 1) for _ in range(sentences)]
    return [" ".join(f"{chr(97 + id % 26)}{id}" for id in sentence) for sentence in ids]


def trained_text(path, **options):
    trained = train_model([path], LmConfig(**options))
    return trained.trie.words, trained.trie.counts, trained.trie.logp.tolist()


def test_perplexity_of_a_model_without_sentence_ends_counts_words_alone(tmp_path, text_file):
    lines = "-1.0\t<unk>\n-99\t<s>\n-0.5\ta\n-0.7\tb\n"
    (tmp_path / "lm.arpa").write_text(f"\\data\\\nngram 1=4\n\n\\1-grams:\n{lines}\n\\end\\\n")
    measured = measure_perplexity(NgramModel.load(tmp_path / "lm.arpa"), [text_file("a b", "b c")], LmTextConfig())
    assert (measured.predicted, measured.words, measured.sentences, measured.unknown) == (4, 4, 2, 1)
    assert measured.perplexity == pytest.approx(10 ** ((0.5 + 0.7 + 0.7 + 1.0) / 4), rel=1e-6)
    assert measured.perplexity_known == pytest.approx(10 ** ((0.5 + 0.7 + 0.7) / 3), rel=1e-6)
    assert "4 words in 2 sentences" in measured.to_text()
    assert "1 words (25.00%)" in measured.to_text()


def test_vocab_keeps_the_most_frequent_words(text_file):
    trained = train_model([text_file("a a a b b c d")], LmConfig(order=2, vocab=2))
    assert trained.trie.words == [*SPECIAL, "a", "b"]
    assert trained.unknown == 2
    assert_sums_to_one(trained.trie)
    assert "unknown     2 words of the text (28.57%)" in trained.to_text().splitlines()


def test_pruning_makes_the_model_smaller_and_hardly_worse(text_file):
    path, dev = text_file(*corpus(300, 3000)), text_file(*corpus(300, 300, seed=1), name="dev.txt")
    sizes, perplexities = [], []
    for options in ({}, {"entropy": 1e-5}, {"entropy": 1e-4}, {"prune": (0, 0, 1)}):
        trie = train_model([path], LmConfig(**options)).trie
        sizes.append(sum(trie.counts))
        perplexities.append(measure_perplexity(NgramModel.from_trie(trie), [dev], LmTextConfig()).perplexity)
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] > sizes[3]
    assert max(perplexities) < 1.1 * perplexities[0]


def test_fewer_decimals_make_the_file_smaller_and_the_model_no_worse(text_file, tmp_path):
    path, dev = text_file(*corpus(300, 3000)), text_file(*corpus(300, 300, seed=1), name="dev.txt")
    sizes, perplexities = [], []
    for decimals in (7, 2):
        output = tmp_path / f"{decimals}.arpa.xz"
        train_model([path], LmConfig(decimals=decimals), output)
        sizes.append(output.stat().st_size)
        perplexities.append(measure_perplexity(NgramModel.load(output), [dev], LmTextConfig()).perplexity)
    assert sizes[1] < 0.7 * sizes[0]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=1e-3)


def test_order_of_a_text_of_short_sentences(text_file):
    trained = train_model([text_file("yes", "no")], LmConfig(order=5))
    assert trained.trie.order == 3
    assert "no 4-grams in this text: the model's order is 3" in trained.notes
    assert_sums_to_one(trained.trie)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune": (1,)}, "--prune begins with 1, but unigrams are never pruned"),
        ({"prune": (0, 2, 1)}, "--prune 0 2 1 goes down"),
        ({"prune": (0, 0, 0, 1)}, "--prune has 4 values, --order is 3"),
    ],
)
def test_options_that_do_not_fit(text_file, options, message):
    with pytest.raises(ConfigError, match=message):
        train_model([text_file("a")], LmConfig(**options))


def test_a_text_is_not_overwritten(text_file):
    path = text_file("a b", name="a.arpa")
    with pytest.raises(ConfigError, match="would be overwritten"):
        train_model([path], LmConfig(), path)
    assert path.read_text() == "a b\n"


def test_perplexity_by_hand(text_file):
    model = NgramModel.from_trie(train_model([text_file("a b", "a")], LmConfig(order=2)).trie)
    measured = measure_perplexity(model, [text_file("a c", name="new.txt")], LmTextConfig())
    # P(a | <s>) = 0.625; c is unknown: half of <unk>'s 0.125 after a; then P(</s>) = 0.375.
    assert measured.perplexity == pytest.approx((0.625 * 0.0625 * 0.375) ** (-1 / 3), rel=1e-5)
    assert measured.perplexity_known == pytest.approx((0.625 * 0.375) ** (-1 / 2), rel=1e-5)
    assert (measured.predicted, measured.sentences, measured.unknown, measured.hits) == (3, 1, 1, (2, 1))
    assert measured.to_text().splitlines()[:3] == [
        "perplexity  4.09 with unknown words, 2.07 without",
        "text        2 words in 1 sentences",
        "unknown     1 words (50.00%)",
    ]


def test_no_room_for_temporary_files(text_file, full_disk, tmp_path):
    path = text_file("a b c d " * 50_000)
    with full_disk(100_000), pytest.raises(LanguageModelError, match=r"no room for the text's word ids.* set TMPDIR"):
        train_model([path], LmConfig())
