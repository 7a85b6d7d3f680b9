"""What is to run, before it runs: fields, their ranges and published values, studies in TOML.

The standard library only, but for ``fit``, which looks at images.
"""
