"""benchmarks/scale.py: the simulation of a cluster."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from scale import GROUP_HOURS, Cluster, simulate

PERFECT = {"start_seconds": 0.0, "spread": 0.0, "failures": 0.0}


def test_perfect_nodes_take_the_ideal_time():
    found = simulate(80 * GROUP_HOURS, Cluster(4, 2, **PERFECT))
    assert found.seconds == pytest.approx(found.ideal) and found.repeated == 0


def test_every_group_is_done_in_spite_of_failures():
    alone = simulate(80 * GROUP_HOURS, Cluster(1, 2, **PERFECT))
    failing = simulate(80 * GROUP_HOURS, Cluster(1, 2, **(PERFECT | {"failures": 20.0})))
    assert failing.repeated > 0 and failing.seconds > alone.seconds


def test_the_longest_recording_bounds_the_time():
    cluster = Cluster(100, 2, **PERFECT)
    assert simulate(10.0, cluster, longest_hours=10.0).seconds == pytest.approx(10 * cluster.core_seconds / 2)


@pytest.mark.parametrize(("hours", "nodes"), [(1000, 4), (100_000, 100)])
def test_a_cluster_comes_near_to_the_ideal(hours, nodes):
    assert simulate(hours, Cluster(nodes, 16)).factor < 1.15
