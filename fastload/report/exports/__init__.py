"""Results in the formats of other tools: one file per format or family, found by name in `registry`.

Reads what a run left in its directory and nothing else. Computes no metric of its own; a cell is empty, or a key null, where
there is no data. Public: the formats' names, and the names of the files and fields in them, which are the other tools' own.
"""
