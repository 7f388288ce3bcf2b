"""Additional costs and typical times of a spot machine: Microsoft's list prices of East US, as of 2026.

They differ by some 20 % between regions, which matters only for the total of small machines.
"""

from __future__ import annotations

NOTICE_S = 30.0  #: seconds between the Preempt event and the eviction (Azure Scheduled Events)
BOOT_S = 90.0  #: rough: from launch to a login

DISK_USD_GIB_MONTH = 0.075  #: Standard SSD, by the E10 disk of 128 GiB (Managed Disks pricing)
IP_USD_H = 0.005  #: a standard static public IPv4 address (IP Addresses pricing)
EGRESS_USD_GIB = 0.087  #: to the internet, first 10 TB a month after the free 100 GB (Bandwidth pricing)
