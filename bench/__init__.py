"""`gamestream bench`: contestants side by side on one machine, in one run.

Part of a checkout and not of the wheel. It starts servers of its own and overwrites their boards.
"""
