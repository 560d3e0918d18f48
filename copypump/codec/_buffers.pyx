"""Wire bytes live in buffers that are used again: fresh ones cost the system's clearing of every page."""

cimport cython
from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *object)


cdef enum:
    MOST = 16       # how many are kept: more than a pipeline's queues hold
    LARGE = 16777216  # bytes; larger ones were made for a very long row, and are not kept


@cython.final
cdef class Buffers:
    """Hands out bytearrays, and the same ones again as soon as nothing refers to them any more.

    A memoryview of one, or a Block that holds it, is a reference: who keeps either keeps the bytes. Several
    threads may take at once.
    """

    cdef list held

    def __cinit__(self):
        self.held = []

    def take(self):
        """Give a bytearray of any size and content, which the caller resizes and fills."""
        cdef Py_ssize_t i = 0
        cdef PyObject *buffer
        # Nothing here lets another thread run, so nobody can come by a buffer that only the list refers to.
        while i < len(self.held):
            buffer = <PyObject *>PyList_GET_ITEM(self.held, i)
            if Py_REFCNT(buffer) == 1:
                if PyByteArray_GET_SIZE(<object>buffer) <= LARGE:
                    return <object>buffer
                del self.held[i]
            else:
                i += 1
        made = bytearray()
        if i < MOST:
            self.held.append(made)
        return made
