"""Additional costs and typical times of a spot machine: Amazon's list prices of us-east-1, as of 2026.

They differ by some 20 % between regions, which matters only for the total of small machines.
"""

from __future__ import annotations

NOTICE_S = 120.0  #: seconds between interruption notice and termination (EC2 User Guide, Spot interruption notices)
BOOT_S = 60.0  #: rough: from launch to a login, virtual machines
METAL_BOOT_S = 600.0  #: rough: bare metal initializes its firmware first

DISK_USD_GIB_MONTH = 0.08  #: gp3 storage (Amazon EBS pricing)
IP_USD_H = 0.005  #: a public IPv4 address in use (Amazon VPC pricing)
EGRESS_USD_GIB = 0.09  #: to the internet, first 10 TB a month (Amazon EC2 on-demand pricing, data transfer)
