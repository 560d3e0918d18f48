"""Bad rows: what the target, the transform or the encoder refuses goes to a table, and the rest lands.

rules    what a table's constraints refuse, as SQL
landing  a refused block, landed from a staging table
blocks   rows go in by blocks, under savepoints
sifting  the bad rows among those that were encoded or decoded at once
feed     the decoder's bad rows
record   rejected rows as JSON
table    the table of rejects
files    the file that is written from it
limit    how many there may be
planned  what the plan decides of all this
"""
