"""Carrying runs out: inputs, checkpoints, one run, many on workers or a cluster, its landscape, checking it again.

The top of the harness: imports all other rooms of it.
"""
