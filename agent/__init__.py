VERSION = "0.2.0"
"""In the fingerprint of every session: its rules decide what a replay gives."""
