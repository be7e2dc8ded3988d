# SPDX-License-Identifier: Apache-2.0
"""A real Pacemaker cluster, whose machines are namespaces of this one.

Controllers run corosync and Pacemaker, computes pacemaker_remote; the power
switch that Pacemaker's fencing uses really ends a machine. Only the hardware
is made up: a machine is a PID namespace and its network a veth pair, so
nothing of this machine's own network, services or files is touched.
"""

from lab.cluster.cluster import Cluster
from lab.cluster.needs import why_not

__all__ = ["Cluster", "why_not"]
