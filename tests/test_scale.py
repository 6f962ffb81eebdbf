"""benchmarks/scale.py: the simulation of a cluster."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from scale import GROUP_HOURS, Cluster, simulate

PERFECT = {"call_seconds": 0.0, "start_seconds": 0.0, "spread": 0.0, "stragglers": 0.0, "failures": 0.0}


def test_perfect_nodes_take_the_ideal_time():
    found = simulate(80 * GROUP_HOURS, Cluster(4, 2, **PERFECT))
    assert found.seconds == pytest.approx(found.ideal) and found.repeated == 0


def test_every_group_is_done_in_spite_of_failures():
    alone = simulate(80 * GROUP_HOURS, Cluster(1, 2, **PERFECT))
    failing = simulate(80 * GROUP_HOURS, Cluster(1, 2, **(PERFECT | {"failures": 20.0})))
    assert failing.repeated > 0 and failing.seconds > alone.seconds


def test_a_slow_node_takes_fewer_groups():
    alone = simulate(80 * GROUP_HOURS, Cluster(10, 2, **PERFECT))
    slow = simulate(80 * GROUP_HOURS, Cluster(10, 2, **(PERFECT | {"stragglers": 0.1})))
    assert alone.seconds < slow.seconds < 2 * alone.seconds


def test_the_directing_command_bounds_the_speed():
    directing = PERFECT | {"call_seconds": 1.0}
    assert simulate(500 * GROUP_HOURS, Cluster(1000, 16, **directing)).seconds > 500


@pytest.mark.parametrize(("hours", "nodes"), [(1000, 4), (100_000, 100)])
def test_a_cluster_comes_near_to_the_ideal(hours, nodes):
    assert simulate(hours, Cluster(nodes, 16)).factor < 1.15
