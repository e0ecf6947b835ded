"""`python -m phalanx`: the same as `phalanx`."""

import sys

from phalanx.compiler.cli import main

sys.exit(main())
