"""Measurements side by side with gensim: ``python -m tests.benchmarks --corpus PATH``.

One module for each section of the page; a ``_side`` is what one program does in its processes.

Each figure comes from a process of its own. The two programs take turns, and what is quoted is
the ratio within each turn, so that a machine that slows down for a while slows both. This
process stays small: the peak memory that the system reports for a child starts at its parent's.
"""
