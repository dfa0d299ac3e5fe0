"""Carries out the steps of a plan, one function per step."""
