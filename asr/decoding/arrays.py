"""The arrays that compiled search code works on: lexicon, hotwords, the beam and the tree of its prefixes."""

from typing import NamedTuple

import numpy as np

ROOT = 0  # lexicon node: no word has begun
UNKNOWN = -1  # lexicon node: inside a word that the lexicon lacks
NO_WORD = -1  # what a token completed: nothing
UNKNOWN_WORD = -2  # what a token completed: a word that the lexicon lacks
SNAPSHOT_FRAMES = 4  # frames from one snapshot of the beam to the next
SNAPSHOT_PREFIXES = 16  # prefixes kept in one


class Graph(NamedTuple):
    """A lexicon as a tree over tokens. Node 0 is the root, between words."""

    edge_begin: np.ndarray  # int32 (nodes + 1,) a node's edges are edge_begin[node] .. edge_begin[node + 1] - 1
    edge_token: np.ndarray  # int32 (edges,) ascending within a node
    edge_target: np.ndarray  # int32 (edges,)
    word_begin: np.ndarray  # int32 (nodes + 1,) the words that are complete at a node
    node_word: np.ndarray  # int32 (complete words,) lexicon word
    starts: np.ndarray  # uint8 (tokens,) 1 where the token begins a new word, or is the space before one
    start_target: np.ndarray  # int32 (tokens,) the node where a token that begins a word leads; UNKNOWN if none
    lm_word: np.ndarray  # int32 (words,) the language model's index of each lexicon word
    ahead: np.ndarray  # float64 (nodes,) weight of the likeliest word below the node, 1 at the root


class Hotwords(NamedTuple):
    """Phrases as an automaton over tokens (Aho & Corasick 1975); the last column is the end of a word."""

    next: np.ndarray  # int32 (states, tokens + 1)
    gain: np.ndarray  # float64 (states, tokens + 1), nats, negative where a partial match fails
    last: np.ndarray  # float64 (states,) gain at the end of the utterance
    begin: int  # state at its beginning


class Spelling(NamedTuple):
    """The tokens' texts as numbers, by which words outside the lexicon are told apart."""

    code: np.ndarray  # uint64 (tokens,) hash of the token's text
    power: np.ndarray  # uint64 (tokens,) what a hash is multiplied with when the token's text is put before it


class Rules(NamedTuple):
    """What the search obeys. Weights are natural logarithms unless said otherwise."""

    width: int  # prefixes kept in each frame
    histories: int  # and of them, when not all fit, those that have one future
    floor: float  # prefixes below this share of the best one's probability are dropped
    top_tokens: int  # tokens of a frame that may extend a prefix; all when it is not smaller than their number
    blank_skip: float  # frames whose blank is at least this probable pass as pure blanks; above 1: none
    lm_weight: float
    word_bonus: float
    unknown_penalty: float
    ahead_unknown: float  # weight (not a logarithm) of a word that the lexicon lacks, while it lasts
    lm_unknown: int  # the language model's index of <unk>
    lm_end: int  # its index of </s>, -1 if it has none
    has_lm: bool
    is_open: bool  # words that the lexicon lacks may be written
    joined: bool  # words follow one another without a token between them
    has_hotwords: bool


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
        ("commit", np.float64),  # factor of the weight when the begun word ends here; NaN until it is asked for
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


class Beam(NamedTuple):
    """The prefixes in the beam and the tree that they belong to; and snapshots of earlier beams, which tell how sure
    the search was when a word had just been heard."""

    slots: np.ndarray  # SLOT (width,)
    nodes: np.ndarray  # NODE (capacity,) parents before their children
    counts: np.ndarray  # int64 (4,) prefixes in the beam, nodes in the tree, frames seen, snapshots
    scale: np.ndarray  # float64 (1,) logarithm of what the probabilities have been divided by
    moments: np.ndarray  # int32 (room,) nodes that the tree had at each snapshot
    held: np.ndarray  # HELD (room, SNAPSHOT_PREFIXES) the likeliest prefixes then


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


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, contiguous and read-only: compiled code has one type for it wherever it comes from."""
    array = np.ascontiguousarray(array).view(np.ndarray)
    array.flags.writeable = False
    return array
