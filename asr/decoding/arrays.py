"""The arrays that compiled search code works on: lexicon, hotwords, the beam and the tree of its prefixes."""

from typing import NamedTuple

import numpy as np

from asr.lm.trie import NgramArrays

ROOT = 0  # lexicon node: no word has begun
UNKNOWN = -1  # lexicon node: inside a word that the lexicon lacks
NO_WORD = -1  # what a token completed: nothing
UNKNOWN_WORD = -2  # what a token completed: a word that the lexicon lacks
NEW_WORD = -1  # in `Graph.lm_word`: a word added for one run, which the language model lacks
SNAPSHOT_FRAMES = 4  # frames from one snapshot of the beam to the next
SNAPSHOT_PREFIXES = 16  # prefixes kept in one
WEIGHTS = 1 << 12  # weights of words that are kept for later frames


class Graph(NamedTuple):
    """A lexicon as a tree over tokens. Node 0 is the root, between words."""

    edge_begin: np.ndarray  # int32 (nodes + 1,) a node's edges are edge_begin[node] .. edge_begin[node + 1] - 1
    edge_token: np.ndarray  # int32 (edges,) ascending within a node
    edge_target: np.ndarray  # int32 (edges,)
    word_begin: np.ndarray  # int32 (nodes + 1,) the words that are complete at a node
    node_word: np.ndarray  # int32 (complete words,) lexicon word
    starts: np.ndarray  # uint8 (tokens,) 1 where the token begins a new word, or is the space before one
    start_target: np.ndarray  # int32 (tokens,) the node where a token that begins a word leads; UNKNOWN if none
    lm_word: np.ndarray  # int32 (words,) the language model's index of each lexicon word, or NEW_WORD
    ahead: np.ndarray  # float64 (nodes,) weight of the likeliest word below the node, 1 at the root


class Hotwords(NamedTuple):
    """Phrases as an automaton over tokens (Aho & Corasick 1975); the last column is the end of a word."""

    next: np.ndarray  # int32 (states, tokens + 1)
    gain: np.ndarray  # float64 (states, tokens + 1), nats, negative where a partial match fails
    last: np.ndarray  # float64 (states,) gain at the end of the utterance
    begin: int  # state at its beginning
    most: float  # the factor, 1 or more, by which one token can raise a weight


class Spelling(NamedTuple):
    """Hashes of the tokens' texts, which identify words outside the lexicon."""

    code: np.ndarray  # uint64 (tokens,) hash of the token's text
    power: np.ndarray  # uint64 (tokens,) multiplier of a hash when the token's text is prepended


class Rules(NamedTuple):
    """Weights and limits of the search. Weights are natural logarithms unless noted otherwise."""

    width: int  # prefixes kept per frame
    histories: int  # prefixes with the same future that are kept when not all fit
    floor: float  # prefixes below this share of the best one's probability are dropped
    top_tokens: int  # tokens of a frame that may extend a prefix; all when it is not smaller than their number
    blank_skip: float  # frames whose blank is at least this probable are treated as pure blanks; above 1: none
    lm_weight: float
    word_bonus: float
    unknown_penalty: float
    ahead_unknown: float  # weight (not a logarithm) of a word that the lexicon lacks, while it lasts
    lm_unknown: int  # the language model's index of <unk>
    new_word: float  # added to the language model's score of <unk> for a new word
    lm_end: int  # its index of </s>, -1 if it has none
    has_lm: bool
    is_open: bool  # words that the lexicon lacks may be written
    joined: bool  # words follow one another without a token between them
    has_hotwords: bool


class Search(NamedTuple):
    """What stays the same during an utterance."""

    graph: Graph
    lm: NgramArrays
    hotwords: Hotwords
    rules: Rules


#: A node of the tree of prefixes; node 0 is the empty prefix.
NODE = np.dtype(
    [
        ("parent", np.int32),
        ("token", np.int32),
        ("word", np.int32),  # the lexicon word that this token completed, NO_WORD or UNKNOWN_WORD
        ("lexical", np.int32),  # node of the lexicon
        ("state", np.int32),  # language model state before the word that has begun
        ("hot", np.int32),  # hotword state
        ("slot", np.int32),  # place in the beam, -1 outside
        ("child", np.int32),  # the latest child, -1 if none
        ("sibling", np.int32),  # the child of the same parent before this one, -1 if none
        ("depth", np.int32),  # tokens
        ("commit", np.float64),  # factor of the weight when the begun word ends here; NaN until it is needed
        ("bias", np.float64),  # logarithm of the weight without look-ahead
        ("lm", np.float64),  # language model's logarithm of the completed words' probability
        ("link", np.float64),  # weight divided by the parent's
    ]
)
#: A prefix in the beam, before a frame and after it.
SLOT = np.dtype(
    [
        ("node", np.int32),
        ("child", np.int32),  # a child in the beam, -1 if none
        ("sibling", np.int32),  # another child of the same parent
        ("last", np.int32),  # its last token, -1 if none
        ("blank", np.float64),  # weighted probability of alignments that end in a blank
        ("label", np.float64),  # of those that end in the last token
        ("total", np.float64),  # of both
        ("next_blank", np.float64),
        ("next_label", np.float64),
    ]
)
#: A prefix with one token more.
EXTENSION = np.dtype(
    [
        ("slot", np.int32),
        ("token", np.int32),
        ("lexical", np.int32),
        ("word", np.int32),
        ("value", np.float64),  # weighted probability
    ]
)
#: A prefix in a snapshot.
HELD = np.dtype(
    [
        ("node", np.int32),  # -1 behind the last one
        ("weight", np.float32),  # square root of its weighted probability, divided by the best one's
    ]
)


#: The factor of the weight of a word after a language model state.
WEIGHT = np.dtype([("state", np.int32), ("word", np.int32), ("weight", np.float64)])
#: What is known of the frame that the search is in.
FRAME = np.dtype(
    [
        ("largest", np.float64),  # ln P of its most probable token
        ("active", np.int64),  # tokens that may extend a prefix
        ("likeliest", np.float64),  # probability of the most probable of them, divided by `largest`'s
        ("starting", np.float64),  # and of the most probable one that begins a word
        ("cutoff", np.float64),  # weighted probability that a prefix must exceed to stay in the beam
        ("extended", np.int64),  # prefixes with one token more
    ]
)


class Beam(NamedTuple):
    """The prefixes in the beam, the tree that they belong to, and snapshots of earlier beams, from which the
    confidence of words is computed."""

    slots: np.ndarray  # SLOT (width,)
    nodes: np.ndarray  # NODE (capacity,) parents before their children
    counts: np.ndarray  # int64 (4,) prefixes in the beam, nodes in the tree, frames seen, snapshots
    scale: np.ndarray  # float64 (1,) logarithm of the factor that the probabilities have been divided by
    moments: np.ndarray  # int32 (room,) nodes that the tree had at each snapshot
    held: np.ndarray  # HELD (room, SNAPSHOT_PREFIXES) the likeliest prefixes then


class Work(NamedTuple):
    """Scratch memory of one search."""

    frame: np.ndarray  # FRAME (1,)
    probability: np.ndarray  # float64 (tokens,) divided by the frame's largest
    extending: np.ndarray  # float64 (tokens,) the same, 0 for tokens that may not extend a prefix
    order: np.ndarray  # int64 (tokens,) the tokens that may, the most probable first
    seen: np.ndarray  # int64 (tokens,) the last slot whose word the token continues
    proposed: np.ndarray  # EXTENSION (tokens,) of one prefix
    extensions: np.ndarray  # EXTENSION (room,) of all prefixes
    values: np.ndarray  # float64 (room + width,)
    table: np.ndarray  # int32 (a power of two,) hash table
    weights: np.ndarray  # WEIGHT (a power of two,) those that were computed last, each at the place of its hash


def new_beam(width: int, lm_state: int, hot_state: int) -> Beam:
    """The beam before the first frame: the empty prefix."""
    beam = Beam(
        np.zeros(width, SLOT),
        np.zeros(64 * width + 2048, NODE),
        np.array([1, 1, 0, 0]),
        np.zeros(1),
        np.zeros(128, np.int32),
        np.zeros((128, SNAPSHOT_PREFIXES), HELD),
    )
    root = beam.nodes[0]
    root["parent"] = root["token"] = root["word"] = root["child"] = root["sibling"] = -1
    root["lexical"], root["state"], root["hot"] = ROOT, lm_state, hot_state
    root["link"], root["commit"] = 1.0, np.nan
    beam.slots[0]["blank"], beam.slots[0]["last"] = 1.0, -1
    return beam


def new_work(width: int, tokens: int) -> Work:
    """Scratch memory for `width` prefixes and `tokens`."""
    room = 4 * width + 64
    weights = np.zeros(WEIGHTS, WEIGHT)
    weights["state"] = -1
    return Work(
        np.zeros(1, FRAME),
        np.zeros(tokens),
        np.zeros(tokens),
        np.zeros(tokens, np.int64),
        np.zeros(tokens, np.int64),
        np.zeros(tokens, EXTENSION),
        np.zeros(room, EXTENSION),
        np.zeros(room + width),
        np.zeros(2 << (width - 1).bit_length(), np.int32),
        weights,
    )


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, contiguous and read-only: compiled code has one type for it wherever it comes from."""
    array = np.ascontiguousarray(array).view(np.ndarray)
    array.flags.writeable = False
    return array
