"""Spotwave: long calculations on the cheapest spot machines, as Prefect flows.

The subpackages are the folders of the same names at the top of the repository; they are imported as
`spotwave.flows`, `spotwave.tasks`, `spotwave.blocks`, `spotwave.node` and `spotwave.deployments`.
"""

__version__ = "0.2.0.dev0"
