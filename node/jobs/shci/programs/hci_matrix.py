"""The Hamiltonian over selected determinants, extended in parallel, row by row.

PyCI builds its sparse matrix in one thread, which takes most of the time of the variational stage. Rows are
independent, so forked processes build blocks of them. PyCI makes a rectangular matrix of the first n determinants
against all, so every block puts its own determinants first. The result does not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

Vector = NDArray[np.float64]
Determinants = NDArray[np.uint64]
Rows = tuple[Vector, NDArray[np.int64], NDArray[np.int64]]

_BYTES_PER_ELEMENT = 12  # a double and a 32-bit column
_FEWEST_ROWS = 256  # smaller blocks are not worth a process

# Inherited by the forked workers; only the row numbers are pickled.
_inherited: dict[str, Any] = {}


class HciMatrix:
    """Lower triangle and diagonal in compressed sparse rows; grows with the wave function.

    `build(determinants, n)` returns values, columns and row ends of the first n determinants' rows against all.
    """

    def __init__(self, build: Callable[[Determinants, int], Rows], processes: int) -> None:
        self._build = build
        self._processes = processes
        self._blocks: list[Any] = []
        self.size = 0  #: rows
        self.diagonal: Vector = np.empty(0)

    @property
    def gib(self) -> float:
        """Memory of the stored elements."""
        return float(sum(block.nnz for block in self._blocks)) * _BYTES_PER_ELEMENT / 1024**3

    def extend(self, determinants: Determinants) -> None:
        """Add the rows of the determinants from number `size` on; earlier ones must be the same as before.

        Raises MemoryError, and BrokenProcessPool if a worker was killed.
        """
        if len(determinants) == self.size:
            return
        _inherited.update(build=self._build, determinants=determinants)
        try:
            parts = self._rows(self._split(self.size, len(determinants)))
        finally:
            _inherited.clear()
        for values, columns, ends in parts:
            shape = (len(ends) - 1, len(determinants))
            self._blocks.append(sparse.csr_matrix((values, columns, ends), shape=shape))
        self.size = len(determinants)
        # Columns are sorted and end at the diagonal.
        self.diagonal = np.concatenate([block.data[block.indptr[1:] - 1] for block in self._blocks])

    def apply(self, vector: Vector) -> Vector:
        """Return H times `vector`, without the core energy."""
        result = np.zeros_like(vector)
        start = 0
        for block in self._blocks:
            stop = start + block.shape[0]
            width = block.shape[1]
            result[start:stop] += block @ vector[:width]
            result[:width] += block.T @ vector[start:stop]
            start = stop
        return result - self.diagonal * vector  # the diagonal was counted in both triangles

    def _split(self, start: int, stop: int) -> list[tuple[int, int]]:
        # Several blocks per process, since their times differ: early rows have fewer columns.
        blocks = max(1, min(max(8, 4 * self._processes), (stop - start) // _FEWEST_ROWS))
        edges = np.linspace(start, stop, blocks + 1).astype(int)
        return [(int(a), int(b)) for a, b in pairwise(edges)]

    def _rows(self, blocks: list[tuple[int, int]]) -> list[Rows]:
        if self._processes == 1 or len(blocks) == 1:
            return [_lower_rows(block) for block in blocks]
        # Not a multiprocessing.Pool, which waits forever for a worker that was killed for lack of memory.
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(min(self._processes, len(blocks)), mp_context=context) as pool:
            return list(pool.map(_lower_rows, blocks))


def _lower_rows(block: tuple[int, int]) -> Rows:
    """Return values, columns (sorted) and row ends of the rows [start, stop), columns up to the diagonal."""
    start, stop = block
    # Position in the block's own order -> number of the determinant: first the block, then all before it. Later ones
    # would only contribute to the upper triangle.
    order = np.concatenate([np.arange(start, stop), np.arange(start)]).astype(np.int32)
    determinants = np.ascontiguousarray(_inherited["determinants"][order])
    values, columns, ends = _inherited["build"](determinants, stop - start)
    row = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(ends))
    column = order[columns]
    keep = column <= row
    row, column, values = row[keep], column[keep], values[keep]
    sorting = np.lexsort((column, row))
    counts = np.bincount(row - start, minlength=stop - start)
    return values[sorting], column[sorting], np.concatenate([[0], np.cumsum(counts)])
