"""The two hot loops of COPY, and cancel, over the libpq that psycopg has loaded, without the GIL.

`drain()` takes CopyData messages (the server sends one a row) into one buffer; `push()` sends a buffer in
large pieces. Both wait by poll() on the connection's socket and the run's interrupt, give signals their
turn, and return a Status; errors are for the caller to fetch from libpq. Nothing here links libpq: its
functions are looked up in psycopg's own extension module, so there is one libpq in the process.
"""

import ctypes
import sys

from psycopg import pq

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uintptr_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, nanosleep, timespec

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout)
    short POLLIN
    short POLLOUT

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)
    unsigned long FIONREAD

ctypedef int (*get_copy_data_t)(void *, char **, int) noexcept nogil
ctypedef int (*get_line_async_t)(void *, char *, int) noexcept nogil
ctypedef int (*put_copy_data_t)(void *, const char *, int) noexcept nogil
ctypedef int (*connection_t)(void *) noexcept nogil
ctypedef void (*free_t)(void *) noexcept nogil
ctypedef void *(*get_cancel_t)(void *) noexcept nogil
ctypedef int (*cancel_t)(void *, char *, int) noexcept nogil

_library = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)


def _address(name):
    return ctypes.cast(getattr(_library, name), ctypes.c_void_p).value


cdef get_copy_data_t PQgetCopyData = <get_copy_data_t><uintptr_t>_address("PQgetCopyData")
cdef get_line_async_t PQgetlineAsync = <get_line_async_t><uintptr_t>_address("PQgetlineAsync")
cdef put_copy_data_t PQputCopyData = <put_copy_data_t><uintptr_t>_address("PQputCopyData")
cdef connection_t PQconsumeInput = <connection_t><uintptr_t>_address("PQconsumeInput")
cdef connection_t PQflush = <connection_t><uintptr_t>_address("PQflush")
cdef connection_t PQsocket = <connection_t><uintptr_t>_address("PQsocket")
cdef free_t PQfreemem = <free_t><uintptr_t>_address("PQfreemem")
cdef connection_t PQsslInUse = <connection_t><uintptr_t>_address("PQsslInUse")
cdef connection_t PQgssEncInUse = <connection_t><uintptr_t>_address("PQgssEncInUse")
cdef get_cancel_t PQgetCancel = <get_cancel_t><uintptr_t>_address("PQgetCancel")
cdef cancel_t PQcancel = <cancel_t><uintptr_t>_address("PQcancel")
cdef free_t PQfreeCancel = <free_t><uintptr_t>_address("PQfreeCancel")

# Status, as Python sees it
MORE = 0     # as much as was asked for
END = 1      # drain: the server has ended the COPY; its result says how
SPOKE = 2    # push: the server has said something; libpq has it
LOST = 3     # the socket is broken
STOPPED = 4  # the interrupt is set
LATE = 5     # the deadline has passed

cdef enum:
    _MORE = 0
    _END = 1
    _SPOKE = 2
    _LOST = 3
    _STOPPED = 4
    _LATE = 5
    _SIGNAL = 6   # a signal handler of Python's may want to run

# Milliseconds in poll() before Python's signal handlers get a turn even without EINTR: a signal may hit
# another thread, or come just before poll().
cdef enum:
    SLICE = 250


cdef int64_t now() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return <int64_t>at.tv_sec * 1000000000 + at.tv_nsec


cdef int wait(int handle, short events, int interrupt, int64_t deadline, short *got) noexcept nogil:
    """Wait for `events` until `deadline` (ns of CLOCK_MONOTONIC, 0: none); _MORE with them in `got`."""
    cdef pollfd fds[2]
    cdef int timeout = SLICE
    cdef int64_t left
    cdef int ready
    if handle < 0:
        return _LOST
    if deadline:
        left = (deadline - now()) // 1000000 + 1
        if left <= 0:
            return _LATE
        if left < timeout:
            timeout = <int>left
    fds[0].fd = handle
    fds[0].events = events
    fds[0].revents = 0
    fds[1].fd = interrupt  # poll() passes over a negative one
    fds[1].events = POLLIN
    fds[1].revents = 0
    ready = poll(fds, 2, timeout)
    if ready < 0:
        return _SIGNAL if errno == EINTR else _LOST
    if fds[1].revents:
        return _STOPPED
    got[0] = fds[0].revents
    return _MORE if fds[0].revents else _SIGNAL


cdef struct Drain:
    void *pgconn
    int interrupt
    int64_t deadline
    bint encrypted      # bytes that have left the socket may wait between it and libpq, where poll() is blind
    char *into
    Py_ssize_t size     # of what `into` has room for
    Py_ssize_t used
    Py_ssize_t enough
    int64_t rows
    int64_t most_rows
    int64_t waited
    double pace         # ns in which a byte comes, 0: not to be waited for


# A read of a socket costs about as much for 8 kB as for 64 kB. The server sends 8 kB pieces, so a reader that
# keeps up with it would pay for each: sleep until this much is there.
# On 5,000,000 rows (294 MB, PostgreSQL 15 on the same two cores, TCP), s of CPU and of wall: without sleeping
# 0.6 - 0.7 and 2.5; up to 64 kB 0.35 - 0.45 and 1.6 - 1.9; up to 128 kB 0.31 - 0.33 and 1.3 - 1.6, the same
# over a Unix socket; up to 256 kB no better, and slower, as the socket fills up meanwhile.
cdef enum:
    GATHERED = 131072

    # Nanoseconds: a shorter nap is not worth its wakeup, in a longer one a full socket would wait for us.
    SHORTEST = 50000
    LONGEST = 1000000


cdef int gather(Drain *d, int handle) noexcept nogil:
    """Sleep for as long as the socket will need to hold GATHERED bytes; return what it holds then.

    A nap of the length that those before have shown costs two switches of the processor, and no send of the
    server's has to wake anyone. To wait for the first byte and then nap up to four times for 0.2 ms took
    3.6 s of CPU in place of 2.9 s for TPC-H lineitem (6,001,215 rows, 1.3 GB, no transform, Unix sockets).
    """
    cdef timespec nap
    cdef int there = 0
    cdef int before
    cdef int64_t began
    if ioctl(handle, FIONREAD, &there) < 0 or there >= GATHERED:
        return there
    nap.tv_sec = 0
    nap.tv_nsec = <long>min(max((GATHERED - there) * d.pace, <double>SHORTEST), <double>LONGEST)
    before = there
    began = now()
    nanosleep(&nap, NULL)
    if ioctl(handle, FIONREAD, &there) < 0:
        return 0
    if there > before:
        d.pace = (d.pace + <double>(now() - began) / (there - before)) / 2
    else:
        d.pace *= 2
    d.pace = min(d.pace, <double>LONGEST / GATHERED)
    return there


cdef int ended(Drain *d) noexcept nogil:
    """Let libpq leave its COPY state, so that it gives the server's result; that is PQgetCopyData's work."""
    cdef char *message = NULL
    if PQgetCopyData(d.pgconn, &message, 1) > 0:
        PQfreemem(message)  # cannot be: the message next in turn is no CopyData
        return _LOST
    return _END


cdef int fill(Drain *d) noexcept nogil:
    """Take messages until there is enough; see Status.

    PQgetlineAsync copies a message straight from libpq's buffer to ours, where PQgetCopyData would allocate
    memory for each row, copy it there, and leave us to copy it again and free it.
    """
    cdef int status, handle, length
    cdef short got
    cdef int64_t began
    cdef bint broken = False  # the socket; what came before may hold rows, and the server's last words
    cdef bint looked = False  # an encrypted connection has been read since libpq last had no message
    cdef Py_ssize_t room
    while True:
        room = d.size - d.used
        length = PQgetlineAsync(d.pgconn, d.into + d.used, <int>room)
        if length < 0:
            return ended(d)
        if length > 0:
            d.used += length
            d.rows += length < room  # else its rest may follow, and counts then
            if d.used >= d.enough or d.rows >= d.most_rows:
                return _MORE
            looked = False
            continue
        if broken:
            return _LOST
        if d.encrypted and not looked:
            looked = True
        else:
            began = now()
            handle = PQsocket(d.pgconn)
            status = _MORE
            if d.pace == 0 or gather(d, handle) < GATHERED:
                status = wait(handle, POLLIN, d.interrupt, d.deadline, &got)
            d.waited += now() - began
            if status != _MORE:
                return status
            looked = False
        broken = not PQconsumeInput(d.pgconn)


def drain(uintptr_t pgconn, int interrupt, bytearray data, Py_ssize_t enough, int64_t most_rows, *,
          int64_t deadline=0, double pace=0):
    """Take at least `enough` bytes (at most 1 GiB) or `most_rows` messages into `data`, or what there is.

    `interrupt` is a descriptor to poll, or -1; `deadline` is in ns of CLOCK_MONOTONIC, 0 for none; `pace` is
    what the last call returned, in ns a byte, 0 to wait for no more than comes. Returns (Status, messages
    taken, ns waited, pace), and leaves `data` with the bytes taken, whatever the status is. A message that is
    longer than what room is left comes in parts, and counts with its last one.
    """
    cdef Drain d
    cdef int status
    if not 0 < enough <= 1 << 30:
        raise ValueError("from 1 byte to 1 GiB at once")
    d.pgconn = <void *>pgconn
    d.interrupt = interrupt
    d.deadline = deadline
    d.encrypted = PQsslInUse(d.pgconn) or PQgssEncInUse(d.pgconn)
    d.size = enough + 16384  # the usual row that passes `enough` comes whole
    d.used = 0
    d.enough = enough
    d.rows = 0
    d.most_rows = most_rows
    d.waited = 0
    d.pace = pace
    PyByteArray_Resize(data, d.size)
    d.into = PyByteArray_AS_STRING(data)
    try:
        while True:
            with nogil:
                status = fill(&d)
            if status != _SIGNAL:
                break
            PyErr_CheckSignals()
    finally:
        PyByteArray_Resize(data, d.used)
    return status, d.rows, d.waited, d.pace


# Bytes between two looks at the target's socket.
cdef enum:
    LOOK = 1048576


cdef struct Push:
    void *pgconn
    int interrupt
    int64_t deadline
    const char *data
    Py_ssize_t size
    Py_ssize_t sent
    Py_ssize_t piece
    int64_t waited


cdef int glance(Push *p) noexcept nogil:
    """Look at the socket and the interrupt without waiting: _MORE when there is nothing."""
    cdef pollfd fds[2]
    fds[0].fd = PQsocket(p.pgconn)
    fds[0].events = POLLIN
    fds[0].revents = 0
    fds[1].fd = p.interrupt
    fds[1].events = POLLIN
    fds[1].revents = 0
    if fds[0].fd < 0:
        return _LOST
    if poll(fds, 2, 0) <= 0:
        return _MORE
    return _STOPPED if fds[1].revents else _SPOKE


cdef int send(Push *p) noexcept nogil:
    """Queue and send pieces until all is with the kernel; see Status."""
    cdef int status, left, size
    cdef short got
    cdef int64_t began
    cdef bint blocked
    cdef Py_ssize_t look = p.sent
    while True:
        blocked = False
        if p.sent >= look:
            # A target that reads as fast as we write never makes us wait, and must be heard all the same.
            status = glance(p)
            if status != _MORE:
                return status
            look = p.sent + LOOK
        if p.sent < p.size:
            size = <int>min(p.piece, p.size - p.sent)
            status = PQputCopyData(p.pgconn, p.data + p.sent, size)
            if status < 0:
                return _LOST
            if status == 0:
                blocked = True
            else:
                p.sent += size
        left = PQflush(p.pgconn)
        if left < 0:
            return _LOST
        if not left and not blocked:
            if p.sent == p.size:
                return _MORE
            continue
        began = now()
        status = wait(PQsocket(p.pgconn), POLLIN | POLLOUT, p.interrupt, p.deadline, &got)
        p.waited += now() - began
        if status != _MORE:
            return status
        if got & ~POLLOUT:
            return _SPOKE


def push(uintptr_t pgconn, int interrupt, const unsigned char[::1] data, Py_ssize_t sent, *, Py_ssize_t piece,
         int64_t deadline=0):
    """Send `data` from byte `sent` on, until all of it is with the kernel, or the server has said something.

    `interrupt` and `deadline` are as for `drain()`. Returns (Status, bytes sent in all, ns waited); after
    SPOKE (the socket is readable, nothing has been read) and STOPPED some may still be with libpq.
    """
    cdef Push p
    cdef int status
    p.pgconn = <void *>pgconn
    p.interrupt = interrupt
    p.deadline = deadline
    p.data = <const char *>&data[0] if data.shape[0] else NULL
    p.size = data.shape[0]
    p.sent = sent
    p.piece = piece
    p.waited = 0
    while True:
        with nogil:
            status = send(&p)
        if status != _SIGNAL:
            return status, p.sent, p.waited
        PyErr_CheckSignals()


cdef class CancelRequest:
    """What it takes to cancel a connection's query, even after the connection is gone.

    psycopg's own cancel keeps the GIL: a network that swallows the request would stop the whole process.
    """

    cdef void *request

    def __cinit__(self, uintptr_t pgconn):
        self.request = PQgetCancel(<void *>pgconn)

    def __dealloc__(self):
        if self.request != NULL:
            PQfreeCancel(self.request)

    def send(self):
        """Ask the server to cancel, on a new connection; may block for long. Return whether it was asked."""
        cdef char message[256]
        cdef int sent
        if self.request == NULL:
            return False
        with nogil:
            sent = PQcancel(self.request, message, sizeof(message))
        return sent == 1
