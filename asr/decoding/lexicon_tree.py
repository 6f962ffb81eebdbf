"""A lexicon as a tree over tokens, built by compiled functions from sorted spellings."""

import numpy as np

from asr.utils.numba_cache import compiled


@compiled
def grow(symbols, offsets):
    """A tree from sorted spellings: each node's parent and symbol, and the node of each spelling."""
    count, longest = len(offsets) - 1, np.int64(0)
    for spelling in range(count):
        longest = max(longest, offsets[spelling + 1] - offsets[spelling])
    parent, symbol = np.empty(len(symbols) + 1, np.int32), np.empty(len(symbols) + 1, np.int32)
    node_of, path = np.empty(count, np.int32), np.empty(longest + 1, np.int32)
    parent[0], symbol[0], path[0] = -1, -1, 0
    nodes, depth = 1, 0  # depth: of the spelling before
    for spelling in range(count):
        first, length = offsets[spelling], offsets[spelling + 1] - offsets[spelling]
        shared = 0
        while shared < depth and shared < length and symbol[path[shared + 1]] == symbols[first + shared]:
            shared += 1
        for place in range(shared, length):
            parent[nodes], symbol[nodes] = path[place], symbols[first + place]
            path[place + 1] = nodes
            nodes += 1
        depth = length
        node_of[spelling] = path[length]
    return parent[:nodes], symbol[:nodes], node_of


def children_of(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each node's children in the order of their symbols: where they begin, `(nodes + 1,)`, and the children."""
    begin, children = group(parent[1:], np.arange(1, len(parent), dtype=np.int32), len(parent))
    return begin, children


def group(node_of: np.ndarray, values: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The values at each node: where they begin, `(nodes + 1,)`, and the values."""
    order = np.argsort(node_of, kind="stable")
    counts = np.bincount(node_of, minlength=nodes)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), values[order].astype(np.int32)


def edges(
    words: tuple[np.ndarray, ...], pieces: tuple[np.ndarray, ...], token_begin: np.ndarray, node_token: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every way in which a token leads from one node of the lexicon to another: `edge_begin` `(nodes + 1,)`, then the
    token and target of each edge.

    `words` and `pieces` are trees of words and of the tokens' texts: where each node's children begin, the children,
    and the nodes' symbols. `node_token` are the tokens that are complete at each node of `pieces`.
    """
    nodes = len(words[0]) - 1
    room = 2 * nodes + 16
    while True:
        edge = np.empty((3, room), np.int32)
        count = _walk_edges(*words, *pieces, token_begin, node_token, edge)
        if count <= room:
            break
        room = count
    source, token, target = edge[:, :count]
    order = np.lexsort((token, source))
    begin = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=nodes))]).astype(np.int32)
    return begin, token[order], target[order]


@compiled
def _walk_edges(
    child_begin, children, symbol, piece_begin, piece_children, piece_symbol, token_begin, node_token, edge
):
    """Walk both trees side by side; fills `edge` with source, token, target as far as it goes, returns their number."""
    stack, depth, count = np.empty((2, len(piece_begin) + 1), np.int32), 0, 0
    for node in range(len(child_begin) - 1):
        stack[0, 0], stack[1, 0], depth = node, 0, 1
        while depth:
            depth -= 1
            here, piece = np.int64(stack[0, depth]), np.int64(stack[1, depth])
            for place in range(token_begin[piece], token_begin[piece + 1]):
                if count < edge.shape[1]:
                    edge[0, count], edge[1, count], edge[2, count] = node, node_token[place], here
                count += 1
            a, b = np.int64(child_begin[here]), np.int64(piece_begin[piece])
            while a < child_begin[here + 1] and b < piece_begin[piece + 1]:
                left, right = symbol[children[a]], piece_symbol[piece_children[b]]
                if left == right:
                    stack[0, depth], stack[1, depth] = children[a], piece_children[b]
                    depth += 1
                a, b = a + (left <= right), b + (right <= left)
    return count


@compiled
def look_ahead(parent, node_of, value):
    """For each node the largest value of a spelling at or below it; 0 at the root."""
    best = np.empty(len(parent))
    for node in range(len(parent)):
        best[node] = -np.inf
    for spelling in range(len(node_of)):
        best[node_of[spelling]] = max(best[node_of[spelling]], value[spelling])
    for node in range(len(parent) - 1, 0, -1):
        best[parent[node]] = max(best[parent[node]], best[node])
    best[0] = 0.0
    return best
