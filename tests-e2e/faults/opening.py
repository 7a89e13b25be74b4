"""Opens the storage of a folder, writes one entry, reads all: `python -m faults.opening FOLDER [UID]`.

Prints what came of it as JSON; what is said on stderr is said there.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from obs_core import LogEntry, LogQuery, StorageError
from obs_storage_sqlite import SQLiteStorage


async def run(path: Path) -> dict[str, object]:
    try:
        async with SQLiteStorage(path) as storage:
            await storage.logs.write([LogEntry(9.0, "INFO", "new")])
            found = [one.entry.message async for one in storage.logs.read(LogQuery())]
            problems = [problem.where for problem in await storage.verify()]
    except StorageError as error:
        return {"refused": str(error)}
    return {"found": found, "problems": problems}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.setgroups([])
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))
    print(json.dumps(asyncio.run(run(Path(sys.argv[1])))))
