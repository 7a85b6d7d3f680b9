"""How an architecture is searched, measured and recorded.

Imports benchmarks; analysis is above. search.py is the loop, methods/ its parts, runs/ what carries it out.
"""
