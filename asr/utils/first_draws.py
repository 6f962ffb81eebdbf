"""The first integer that each of many NumPy generators draws, for all at once: making one takes 10 microseconds.

Seeding is NumPy's `SeedSequence`, the generator PCG64 (O'Neill 2014), the range Lemire's method (2019), all as in
https://github.com/numpy/numpy/tree/main/numpy/random; a test compares them.
"""

import numpy as np

POOL = 4  # 32-bit words of entropy
FIRST_A, FACTOR_A, FIRST_B, FACTOR_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
MIX_LEFT, MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
STEP_HIGH, STEP_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)
WORD, HALF = 1 << 32, np.uint64(32)
CHUNK = 1 << 14  # generators at a time

Wide = tuple[np.ndarray, np.ndarray]  # high and low 64 bits


def first_integers(key: tuple[int, ...], count: int, end: int) -> np.ndarray:
    """`default_rng((*key, index)).integers(end)` for each index below `count`; `(count,)` int64."""
    if len(key) >= POOL or max(*key, end, count) >= WORD:
        return np.array([np.random.default_rng((*key, index)).integers(end) for index in range(count)], np.int64)
    parts = [_draw(key, np.arange(start, min(count, start + CHUNK)), end) for start in range(0, count, CHUNK)]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _draw(key: tuple[int, ...], indices: np.ndarray, end: int) -> np.ndarray:
    entropy = [np.full(len(indices), word, np.uint32) for word in key] + [indices.astype(np.uint32)]
    state = _states(entropy + [np.zeros(len(indices), np.uint32)] * (POOL - len(entropy)))
    start, increment = (state[0], state[1]), _odd((state[2], state[3]))
    wide = _step(_step(_sum(increment, start), increment), increment)
    turn = wide[0] >> np.uint64(58)
    mixed = wide[0] ^ wide[1]
    bits = (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))
    product = (bits & np.uint64(WORD - 1)) * np.uint64(end)
    drawn = (product >> HALF).astype(np.int64)
    # Lemire's method draws again from a few.
    for row in np.flatnonzero(product & np.uint64(WORD - 1) < (WORD - end) % end):
        drawn[row] = np.random.default_rng((*key, int(indices[row]))).integers(end)
    return drawn


def _states(entropy: list[np.ndarray]) -> list[np.ndarray]:
    """`SeedSequence.generate_state(4, np.uint64)` for entropy of four 32-bit words."""
    constant = FIRST_A

    def hashed(word: np.ndarray) -> np.ndarray:
        nonlocal constant
        word = word ^ np.uint32(constant)
        constant = constant * FACTOR_A % WORD
        return _folded(word * np.uint32(constant))

    pool = [hashed(word) for word in entropy]
    for source in range(POOL):
        for target in range(POOL):
            if source != target:
                pool[target] = _folded(MIX_LEFT * pool[target] - MIX_RIGHT * hashed(pool[source]))
    words, constant_b = [], FIRST_B
    for number in range(2 * POOL):
        word = pool[number % POOL] ^ np.uint32(constant_b)
        constant_b = constant_b * FACTOR_B % WORD
        words.append(_folded(word * np.uint32(constant_b)).astype(np.uint64))
    return [low | high << HALF for low, high in zip(words[::2], words[1::2], strict=True)]


def _folded(word: np.ndarray) -> np.ndarray:
    return word ^ word >> np.uint32(16)


def _odd(value: Wide) -> Wide:
    """Twice the value and one."""
    one = np.uint64(1)
    return value[0] << one | value[1] >> np.uint64(63), value[1] << one | one


def _sum(left: Wide, right: Wide) -> Wide:
    low = left[1] + right[1]
    return left[0] + right[0] + (low < left[1]).astype(np.uint64), low


def _step(state: Wide, increment: Wide) -> Wide:
    """The next state of the generator: a product and a sum modulo 2**128."""
    mask = np.uint64(WORD - 1)
    a, b, c, d = state[1] >> HALF, state[1] & mask, STEP_LOW >> HALF, STEP_LOW & mask
    middle = (b * d >> HALF) + (a * d & mask) + (b * c & mask)
    carry = a * c + (a * d >> HALF) + (b * c >> HALF) + (middle >> HALF)
    return _sum((state[0] * STEP_LOW + state[1] * STEP_HIGH + carry, state[1] * STEP_LOW), increment)
