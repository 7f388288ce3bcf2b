"""Code that runs on the rented machine.

On import, PySCF executes the first of $PYSCF_CONFIG_FILE, ./.pyscf_conf.py and ~/.pyscf_conf.py. A program that ran
earlier may have written one of the latter two, so every process that imports this package sets $PYSCF_CONFIG_FILE to a
file of this package.
"""

import os

if __name__ != "spotwave.node":
    raise ImportError(f"{__name__} is spotwave.node: import it by that name")

os.environ["PYSCF_CONFIG_FILE"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pyscf_settings.py")
