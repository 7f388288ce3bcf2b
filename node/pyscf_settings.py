"""PySCF's configuration file, used in place of ./.pyscf_conf.py and ~/.pyscf_conf.py (see node/__init__.py)."""

DISABLE_EVAL = True  # a geometry or basis set with anything but numbers is refused, not evaluated as Python
