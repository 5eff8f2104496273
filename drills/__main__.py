"""`python -m drills`."""

import sys

from drills.command import main

if __name__ == "__main__":
    sys.exit(main())
