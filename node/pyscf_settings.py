"""What PySCF executes at its import, in the place of ./.pyscf_conf.py and ~/.pyscf_conf.py (see node/__init__.py)."""

DISABLE_EVAL = True  # what is no number in a geometry or a basis set is refused, and not evaluated as Python
