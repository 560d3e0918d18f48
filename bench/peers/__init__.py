"""The peers: table.py lists them all; each module beside it is one, run as a process of its own.

A module is run as `python -m bench.peers.NAME SRC DST WORKLOAD TABLE INTO`, in an environment that has what it
imports, and neither needs nor finds copypump there.
"""
