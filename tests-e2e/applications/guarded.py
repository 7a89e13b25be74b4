"""What the applications of the tests of access share: `/logs` needs a token of E2E_TOKENS, `/metrics` a local client.

Without E2E_TOKENS the token is the one that is made beside the database.
"""

import logging
import os
from pathlib import Path

from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db"))
tokens = os.environ.get("E2E_TOKENS", "").split() or None
log = logging.getLogger("guarded")
HUGE = "x" * 3_000_000


def record_bomb() -> None:
    """Log what no storage should have to hold."""
    log.info("a message: %s", HUGE)
    log.info("an attribute", extra={"huge": HUGE, "plan": "pro"})
    log.info("many attributes", extra={f"name{number}": "y" * 100 for number in range(20_000)})
    log.info("a list", extra={"items": list(range(1_000_000))})
