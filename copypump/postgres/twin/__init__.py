"""A table's twin: a new table of the same definition that is loaded, and then takes its place.

`definition` reads all that makes the table what it is, `refusals` whatever stands against replacing it;
`making` and `swapping` write the statements of it. They are all decided beforehand, so that a plan can print
them; whoever executes the last of them compares the twin's definition with what was read.
"""
