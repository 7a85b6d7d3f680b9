"""What a search step and a Hessian cost, beside a literal reference and a plain supernet: cases, instrument, tables.

Imports the search and what carries runs out; only the command line imports it.
"""
