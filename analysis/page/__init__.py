"""The report as one HTML file: settings, verdicts, each run by itself, small pictures as SVG.

The top of analysis: imports claims, figures and the tables of summaries.
"""
