"""Everything that runs on the machine.

At its import PySCF executes the first of $PYSCF_CONFIG_FILE, ./.pyscf_conf.py and ~/.pyscf_conf.py. Where a program
may have written, nobody should execute anything: so it is a file of ours, in every process that imports this package.
"""

import os

if __name__ != "spotwave.node":
    raise ImportError(f"{__name__} is spotwave.node: import it by that name")

os.environ["PYSCF_CONFIG_FILE"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pyscf_settings.py")
