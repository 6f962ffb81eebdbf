"""How long a cluster takes for many hours of recordings: a simulation of the schedule of `asr transcribe --engine ray`.

Workers take groups of recordings as `asr.recognition.ray_engine.group` makes them, one at a time. The time per group is
the measured cost of its audio on the node's cores, times a log-normal factor; some nodes are slow throughout; nodes
fail at random times, lose their group, and come back after a pause. The command that directs them takes one result
after the other.

    python benchmarks/scale.py --hours 100000 --nodes 100 --cores 16
"""

import heapq
import math
import random
from dataclasses import dataclass

from terminal import start

GROUP_HOURS = 1000 / 3600  # stretches of long recordings are nearly as long


@dataclass(frozen=True)
class Cluster:
    """A cluster, and what its recordings cost."""

    nodes: int
    cores: int  # of each node
    core_seconds: float = 44.1  # per hour of audio, in short recordings (cluster.py, docs/scale.md)
    start_seconds: float = 60.0  # until a worker has its model
    call_seconds: float = 0.0008  # of the directing command per group, with 1,000 workers (cluster_costs.py)
    spread: float = 0.3  # standard deviation of the logarithm of the factor
    stragglers: float = 0.02  # share of the nodes that are slow
    slowness: float = 3.0  # time that they take, as a multiple
    failures: float = 0.01  # of a node per hour
    pause_seconds: float = 300.0  # until a node that failed is back


@dataclass(frozen=True)
class Outcome:
    """How long all recordings took."""

    seconds: float
    ideal: float  # seconds with neither slow nodes, failures, waiting nor start
    repeated: int  # groups

    @property
    def factor(self) -> float:
        """Time over the ideal."""
        return self.seconds / self.ideal


def simulate(hours: float, cluster: Cluster, seed: int = 0) -> Outcome:
    """Simulate a run over `hours` of recordings."""
    chance = random.Random(seed)
    count = left = math.ceil(hours / GROUP_HOURS)
    usual = GROUP_HOURS * cluster.core_seconds / cluster.cores
    mean = math.exp(cluster.spread**2 / 2)  # of the factor, so that it averages 1
    slow = round(cluster.stragglers * cluster.nodes)  # the first nodes
    free = [(cluster.start_seconds, node) for node in range(cluster.nodes)]
    heapq.heapify(free)
    directing, finished, repeated = 0.0, 0.0, 0
    while left:
        now, node = heapq.heappop(free)
        now = directing = max(now, directing) + cluster.call_seconds
        took = usual * chance.lognormvariate(0, cluster.spread) / mean * (cluster.slowness if node < slow else 1.0)
        fails_after = chance.expovariate(cluster.failures / 3600) if cluster.failures else math.inf
        if fails_after < took:
            repeated += 1
            heapq.heappush(free, (now + fails_after + cluster.pause_seconds + cluster.start_seconds, node))
        else:
            left -= 1
            finished = max(finished, now + took)
            heapq.heappush(free, (now + took, node))
    return Outcome(finished, count * usual / cluster.nodes, repeated)


@dataclass(frozen=True)
class Options:
    """The recordings and the cluster."""

    #: Hours of recordings.
    hours: float = 1000.0
    #: Nodes of the cluster.
    nodes: int = 4
    #: Cores of each node.
    cores: int = 16
    #: Failures of a node per hour.
    failures: float = 0.01
    #: Share of the nodes that take three times as long.
    stragglers: float = 0.02


def main(options: Options) -> None:
    """Print the outcome."""
    cluster = Cluster(options.nodes, options.cores, failures=options.failures, stragglers=options.stragglers)
    found = simulate(options.hours, cluster)
    print(
        f"{options.hours:,.0f} h on {options.nodes} x {options.cores} cores: {found.seconds / 3600:.2f} h, "
        f"{found.factor:.2f} times the ideal {found.ideal / 3600:.2f} h; {found.repeated} groups repeated"
    )


if __name__ == "__main__":
    start(main, Options, __doc__)
