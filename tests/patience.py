"""How long a test waits for a process: only one that hangs should fail, so a machine that does much else counts."""

PATIENCE_S = 400.0
