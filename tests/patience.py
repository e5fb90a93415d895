"""How long a test waits for a process: only what hangs should fail, also on a machine that does much else."""

PATIENCE_S = 400.0
