"""Wrong input of every kind, drawn by a seed: never a traceback, never a hang, an exit code of the contract.

``make fuzz`` (``COUNT=20000 SEED=1``) draws many and prints each failure with the command that repeats it;
``test_fuzz.py`` draws a few of each kind in the usual tests. A kind is a file: it makes one case from a
random generator and a ``World``.
"""
