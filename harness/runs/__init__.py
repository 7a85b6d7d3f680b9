"""Carrying runs out: inputs, checkpoints, one run, many runs on workers or a cluster, checking them again.

The top of the harness: imports all other rooms of it.
"""
