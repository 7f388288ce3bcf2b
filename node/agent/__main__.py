"""The machine's program: `python -m spotwave.node.agent`."""

from __future__ import annotations

import sys

from spotwave.node.agent.agent import main

sys.exit(main())
