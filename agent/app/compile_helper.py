"""``python -m agent.app.compile_helper``: compiles the parts whose names it reads, one a line.

For each kernel it prints a line, and ``done`` after a part. See ``agent.app.warm_up``.
"""

from __future__ import annotations

import sys

from agent.app.warm_up import compilations, parts


def main() -> None:
    known = parts(model=True, synthetic=True)
    with compilations(lambda name: print(name, flush=True)):  # noqa: T201
        for line in sys.stdin:
            known[line.strip()].call()
            print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
