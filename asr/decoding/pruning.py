"""Which prefixes leave a full beam: the least likely, and those that can never overtake another one."""

import numpy as np

from asr.utils.numba_cache import kernel


@kernel
def recombine(slots, nodes, count, histories, table):
    """Keep the likeliest `histories` prefixes of each group with the same future; returns how many prefixes are left.

    What follows a prefix is scored by its last token and its state in the lexicon, the language model and the hotwords.
    Among prefixes that agree in these, the likeliest stays the likeliest, as in the token passing of Young et al.
    (1989). Without this, a beam fills with combinations of old alternatives. `table` is a hash table of places in the
    beam, by open addressing.
    """
    mask = len(table) - 1
    for place in range(len(table)):
        table[place] = -1
    for i in range(count):
        total = slots[i].blank + slots[i].label
        place = _future(slots[i].last, nodes[slots[i].node]) & mask
        equals, least, where = 0, total, -1
        while table[place] >= 0:
            j = table[place]
            if slots[j].last == slots[i].last and _same_future(nodes[slots[j].node], nodes[slots[i].node]):
                equals += 1
                if slots[j].blank + slots[j].label < least:
                    least, where = slots[j].blank + slots[j].label, place
            place = (place + 1) & mask
        if equals < histories:
            table[place] = i
        elif where >= 0:
            nodes[slots[table[where]].node].slot = -1
            table[where] = i
        else:
            nodes[slots[i].node].slot = -1
    kept = 0
    for i in range(count):
        if nodes[slots[i].node].slot >= 0:
            nodes[slots[i].node].slot = kept
            slots[kept] = slots[i]
            kept += 1
    return kept


@kernel
def _same_future(node, other):
    return node.lexical == other.lexical and node.state == other.state and node.hot == other.hot


@kernel
def _future(last, node):
    """A hash of the states that the future of a prefix depends on."""
    result = np.uint64(node.lexical + 1) * np.uint64(0x9E3779B97F4A7C15)
    result = (result ^ np.uint64(node.state)) * np.uint64(0xBF58476D1CE4E5B9)
    result = (result ^ np.uint64(last) ^ (np.uint64(node.hot) << np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return np.int64(result >> np.uint64(33))


@kernel
def thin(extensions, values, width):
    """Move the best `width` extensions to the front; returns the largest value that the others may have."""
    for c in range(len(extensions)):
        values[c] = extensions[c].value
    threshold = nth_largest(values, len(extensions), width)
    ties = width
    for c in range(len(extensions)):
        ties -= extensions[c].value > threshold
    kept = 0
    for c in range(len(extensions)):
        value = extensions[c].value
        if value > threshold or (value == threshold and ties > 0):
            ties -= value == threshold
            extensions[kept] = extensions[c]
            kept += 1
    return threshold


@kernel
def nth_largest(values, count, n):
    """The n-th largest of the first `count` values, which are put into another order (Hoare 1961)."""
    low, high, wanted = 0, count - 1, n - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]
