"""`gamestream bench`: contestants side by side on one machine, in one run, with the figures that come of it.

Imported by the command line alone: it starts servers of its own, and overwrites their boards.
"""
