"""How long a test waits for what has to come: until it can only have hung, however busy the machine is."""

from __future__ import annotations

PATIENCE_S = 900.0
