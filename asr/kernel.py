"""How inner functions are compiled."""

from numba import njit

#: For functions over arrays that make no arrays: without Python's lock, and without the reference counts that numba
#: otherwise keeps, two atomic instructions for each array at each call, which took most of the search's time.
kernel = njit(nogil=True, cache=True, _nrt=False)
