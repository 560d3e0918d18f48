"""Wire bytes to Arrow record batches and back; no I/O, and no connection.

Imports nothing here, so that `codec.column` costs no pyarrow.
"""
