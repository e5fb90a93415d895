"""How long a test waits for a process: only one that hangs should fail, on a machine that does much else too."""

PATIENCE_S = 400.0
