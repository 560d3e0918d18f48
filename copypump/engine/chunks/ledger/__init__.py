"""The rows on the target that say what a run has committed: schema `copypump`, made when it is needed.

A row goes in first, in the very transaction of what it stands for. So an attempt that the network cut off
makes the next one wait until its own end is known: then the row is there, and nothing is to be done, or it
is not, and nothing was.
"""

from copypump.engine.chunks.ledger.holding import hold_run as hold_run
from copypump.engine.chunks.ledger.ledger import CLAIMED as CLAIMED
from copypump.engine.chunks.ledger.ledger import Ledger as Ledger
from copypump.engine.chunks.ledger.ledger import Superseded as Superseded
from copypump.engine.chunks.ledger.rows import Committed as Committed
from copypump.engine.chunks.ledger.rows import Record as Record
from copypump.engine.chunks.ledger.rows import RunState as RunState
from copypump.engine.chunks.ledger.tables import MAKING as MAKING
