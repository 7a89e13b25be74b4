"""The layout of the file: schema version 3.

Log entries are written as a row for each flush (`head`), and merged later into blocks of about 4,000 entries: a
header in `blocks`, and in `parts`, under the header's id times 8, four columns and the four stripes of a filter.
Samples are written as a row for each instant (`points`), and sealed into `windows`, whose series lie in `chunks`.
"""

import secrets
import sqlite3
from typing import Final

from obs_core import LEVELS

APPLICATION_ID: Final = 0x6F627331  # "obs1"
VERSION: Final = 3
# Of a new file. A flush dirties some pages, and each goes into the write-ahead log as a whole: small ones cost less.
PAGE: Final = 1024
# The id of a chunk is that of its window times this, and its number.
SPAN: Final = 1 << 20

LEVEL_COLUMNS: Final = tuple(level.lower() for level in LEVELS)
SIZE_COLUMNS: Final = tuple(f"{column}_size" for column in LEVEL_COLUMNS)
_LEVELS: Final = ", ".join(f"{column} INTEGER NOT NULL" for column in (*LEVEL_COLUMNS, *SIZE_COLUMNS))
# `id` is the cursor of the first entry. `gone` has a bit for each of the `rows` that was deleted. `size` is what
# the row takes in the file; what of it each level has that is not gone, is in columns of their own. `seal` is the
# checksum of all this.
_HEADER: Final = f"""
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    oldest REAL NOT NULL,
    newest REAL NOT NULL,
    {_LEVELS},
    size INTEGER NOT NULL,
    gone BLOB,
    seal INTEGER NOT NULL"""

COMMON: Final = (
    "CREATE TABLE generation (id TEXT NOT NULL)",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        labels BLOB NOT NULL,
        UNIQUE (name, labels))""",
    "CREATE TABLE metadata (name TEXT PRIMARY KEY, record BLOB NOT NULL)",
)
# `batches` are those that the row holds: who wrote them, and their numbers (`_writers`).
_BATCHES: Final = "batches BLOB NOT NULL DEFAULT x''"
SINCE_1: Final = (
    f"""CREATE TABLE head ({_HEADER},
        raw INTEGER NOT NULL, checksum INTEGER NOT NULL, data BLOB NOT NULL, {_BATCHES})""",
    f"CREATE TABLE blocks ({_HEADER})",
    # Few have one, and each second it is asked which: those that may be rewritten.
    "CREATE INDEX blocks_gone ON blocks (id) WHERE gone IS NOT NULL",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)",
    # An id is never given again: whoever seals compares them.
    """CREATE TABLE points (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        timestamp REAL NOT NULL,
        samples INTEGER NOT NULL,
        size INTEGER NOT NULL,
        series BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        data BLOB NOT NULL)""",
    """CREATE TABLE windows (
        id INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        oldest REAL NOT NULL,
        newest REAL NOT NULL,
        samples INTEGER NOT NULL,
        size INTEGER NOT NULL,
        gone BLOB,
        checksum INTEGER NOT NULL,
        data BLOB NOT NULL)""",
    "CREATE TABLE chunks (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)",
    # Who wrote what is in `head` no more: the last cursor of it, and the numbers of the last batches.
    """CREATE TABLE writers (
        incarnation TEXT PRIMARY KEY,
        last INTEGER NOT NULL,
        stored REAL NOT NULL,
        numbers BLOB NOT NULL) WITHOUT ROWID""",
    # Each write asks for the highest, and a row may be of 600 bytes.
    "CREATE INDEX writers_last ON writers (last)",
)
SINCE_2: Final = (f"ALTER TABLE head ADD COLUMN {_BATCHES}",)


def renew(connection: sqlite3.Connection, known: str) -> None:
    """Give the file another generation, unless somebody did: cursors and numbers of series mean something else."""
    connection.execute("UPDATE generation SET id = ? WHERE id = ?", (secrets.token_hex(8), known))


def create(connection: sqlite3.Connection, generation: str) -> None:
    """Make the tables, inside a transaction."""
    for statement in (*COMMON, *SINCE_1):
        connection.execute(statement)
    connection.execute("INSERT INTO generation VALUES (?)", (generation,))
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={VERSION}")
