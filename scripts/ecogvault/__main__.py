"""`python -m ecogvault` is the command `ecogvault`."""

import sys

from ecogvault.cli import main

sys.exit(main())
