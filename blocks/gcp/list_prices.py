"""Additional costs and typical times of a spot VM: Google's list prices of us-central1, as of 2026.

They differ by some 20 % between regions, which matters only for the total of small machines.
"""

from __future__ import annotations

NOTICE_S = 30.0  #: seconds between the preemption notice and the stop (Compute Engine docs, Spot VMs)
BOOT_S = 60.0  #: rough: from launch to a login, virtual machines
METAL_BOOT_S = 600.0  #: rough: bare metal initializes its firmware first

DISK_USD_GIB_MONTH = 0.10  #: balanced persistent disk (Compute Engine pricing, Disk and image)
IP_USD_H = 0.0025  #: an external IPv4 address in use by a spot VM (VPC pricing, External IP address)
EGRESS_USD_GIB = 0.12  #: to the internet, premium tier, first TiB a month (VPC pricing, Network Service Tiers)
