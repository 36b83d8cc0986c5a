"""Where chains keep what they know of targets that rest: in this process, on this host, or on many."""

from __future__ import annotations

from orfallback.stores._memory import MemoryStore
from orfallback.stores._store import Store, StoreError

__all__ = ["MemoryStore", "Store", "StoreError"]
