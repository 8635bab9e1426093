"""Random graphs whose nodes are in order: those of Watts and Strogatz, of Erdős and Rényi, of Barabási and Albert.

Each edge is (source, target) with source < target, so that the graph has no cycle (Xie 2019, arXiv:1904.01569, section
3.3). The random numbers are uniform numbers of NumPy's `RandomState`, whose stream never changes (NumPy enhancement
proposal 19): a seed means the same graph with every version of NumPy.
"""

from collections.abc import Sequence

import numpy as np

Edges = tuple[tuple[int, int], ...]
TRIES = 1000
"""How often a graph that is not connected is sampled again."""


def watts_strogatz(nodes: int, k: int, p: float, random) -> set:
    """Returns a ring in which each node has an edge to its k / 2 next neighbours, rewired with probability p.

    The i-th edges of all nodes are rewired before the (i+1)-th. A rewired edge keeps its node and leads to a uniformly
    sampled node that has no edge to it (Watts 1998).
    """
    edges = {_pair(v, (v + i) % nodes) for i in range(1, k // 2 + 1) for v in range(nodes)}
    for i in range(1, k // 2 + 1):
        for v in range(nodes):
            if random.random_sample() >= p:
                continue
            free = [u for u in range(nodes) if u != v and _pair(u, v) not in edges]
            if free:
                edges.remove(_pair(v, (v + i) % nodes))
                edges.add(_pair(v, _choose(free, random)))
    return edges


def erdos_renyi(nodes: int, p: float, random) -> set:
    """Returns a graph that has each possible edge with probability p (Erdős 1960)."""
    pairs = [(v, u) for v in range(nodes) for u in range(v + 1, nodes)]
    return {pair for pair in pairs if random.random_sample() < p}


def barabasi_albert(nodes: int, m: int, random) -> set:
    """Returns a graph that begins with m nodes without edges, to which nodes are added with m edges each.

    An edge leads to a node with a probability in proportion to the edges of that node (Albert 2002); the first node has
    edges to all m.
    """
    edges, ends = set(), []
    for v in range(m, nodes):
        targets = set(range(m)) if v == m else set()
        while len(targets) < m:
            targets.add(_choose(ends, random))
        edges |= {(u, v) for u in targets}
        ends += [*sorted(targets), *[v] * m]
    return edges


def _pair(u, v):
    return min(u, v), max(u, v)


def _choose(values, random):
    return values[int(random.random_sample() * len(values))]


GENERATORS = {
    "WS": (watts_strogatz, '("WS", k, p): k even, from 2 and below the number of nodes, p from 0 to 1'),
    "ER": (erdos_renyi, '("ER", p): p above 0, to 1'),
    "BA": (barabasi_albert, '("BA", m): m from 1, below the number of nodes'),
}  # fmt: skip
"""The generator of each kind of graph, and what its parameters are."""


def random_graph(graph: Sequence, nodes: int, seed: int | Sequence[int]) -> Edges:
    """Returns the edges of a connected random graph as a sorted tuple of (source, target), nodes from 0.

        random_graph(("WS", 4, 0.75), 32, seed=0)

    Args:
        graph: ("WS", k, p), ("ER", p) or ("BA", m).
        nodes: number of nodes.
        seed: an integer from 0 to 2^32 - 1, or several. A graph that is not connected is sampled again from the same
            stream.

    Raises:
        ValueError: for another graph or parameters that no graph has, and if no connected graph is sampled in 1000
            tries.
    """
    kind, *parameters = graph
    if kind not in GENERATORS or not _allowed(kind, parameters, nodes):
        words = GENERATORS[kind][1] if kind in GENERATORS else "WS, ER or BA with its parameters"
        raise ValueError(f"graph={tuple(graph)} of {nodes} nodes is not {words}")
    random = np.random.RandomState(seed)
    for _ in range(TRIES):
        edges = GENERATORS[kind][0](nodes, *parameters, random)
        if is_connected(edges, nodes):
            return tuple(sorted(edges))
    raise ValueError(
        f"graph={tuple(graph)} of {nodes} nodes: none of {TRIES} samples is connected; pass a larger probability"
    )


def _allowed(kind, parameters, nodes):
    if len(parameters) != (2 if kind == "WS" else 1):
        return False
    if kind == "WS":
        k, p = parameters
        return k % 2 == 0 and 2 <= k < nodes and 0 <= p <= 1
    if kind == "ER":
        return 0 < parameters[0] <= 1
    return parameters[0] == int(parameters[0]) and 1 <= parameters[0] < nodes


def is_connected(edges, nodes: int) -> bool:
    """Returns whether a path along edges, in either direction, connects every two nodes."""
    neighbours = {v: set() for v in range(nodes)}
    for u, v in edges:
        neighbours[u].add(v)
        neighbours[v].add(u)
    reached, front = {0}, [0]
    while front:
        new = neighbours[front.pop()] - reached
        reached |= new
        front += new
    return len(reached) == nodes
