#!/usr/bin/env python3
"""The one command of this repository; it needs nothing but Python 3.11 or newer."""

import sys

# Parsed by old Pythons too, so that they get one clear line.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write("obs needs Python 3.11 or newer; this is " + sys.version.split()[0] + "\n")
    sys.exit(2)

from commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
