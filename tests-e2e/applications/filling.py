"""Logs for ever, first as fast as it can, then 1 MB a second; the history in OBS_DATA is bounded to E2E_MAX_BYTES."""

import logging
import os
import secrets
import time
from pathlib import Path

from obs_core import RetentionPolicy
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

MAX_BYTES = int(os.environ["E2E_MAX_BYTES"])
ENTRY = 1000  # letters of 4 bits: half of it is left when it is compressed
runtime = EmbeddedRuntime(
    SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db"),
    log_retention=RetentionPolicy(max_bytes=MAX_BYTES),
)
log = logging.getLogger("filling")
number = 0
with runtime:
    while True:
        number += 1
        log.info("%d %s", number, secrets.token_hex(ENTRY // 2))
        if number % 1000 == 0:
            runtime.flush(60)
            print(number, flush=True)
            if number * ENTRY > 2 * MAX_BYTES:
                time.sleep(1)
