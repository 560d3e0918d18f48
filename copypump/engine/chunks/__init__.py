"""A run of many chunks: the ledger, the workers and their sessions, retries, and resuming."""
