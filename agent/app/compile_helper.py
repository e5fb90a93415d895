"""``python -m agent.app.compile_helper``: compiles the parts whose names it reads, one a line.

For each kernel it prints a line, and ``done`` after a part. See ``agent.app.warm_up``.
"""

from __future__ import annotations

import sys

from agent.app.warm_up import all_parts, compilations


def main() -> None:
    parts = all_parts(model=True)
    with compilations(lambda name: print(name, flush=True)):  # noqa: T201
        for line in sys.stdin:
            parts[line.strip()].call()
            print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
