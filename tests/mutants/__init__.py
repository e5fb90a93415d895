"""``make mutants``: small mistakes planted in the code that decides money, order, record and control.

Each is run with the tests that reach its line. ``mutation_run`` is the command, ``drawing`` makes the
mutants with Cosmic Ray's operators, ``line_tests`` knows which tests reach which lines, ``tracing`` is the
plugin that records it. What survived and why that is no gap stands in ``survivors.md``.
"""
