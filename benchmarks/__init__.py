"""What is searched, and who knows the answer: spaces, images, tables, and what everybody uses to fail and to write.

Knows nothing of searching: imports neither harness nor analysis. ``catalog`` lists what there is.
"""
