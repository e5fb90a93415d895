"""The paper venue against hftbacktest, an independent venue, on the same tapes and the same orders.

hftbacktest pins another numpy than ours, so it lives in an environment of its own (``make differential``
makes it) and runs as a process of its own; orders and tapes go in, fills come back, as ``.npz`` files.
"""
