"""What of good practice a study's records show: the checklist of Lindauer and Hutter (JMLR 2020), item by item.

Imports study and the texts of the page.
"""
