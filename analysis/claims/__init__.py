"""Which claims of the paper a study supports: what is claimed, over which windows, by what evidence.

Imports statistics and study; draws nothing.
"""
