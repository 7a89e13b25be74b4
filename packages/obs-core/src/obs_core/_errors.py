"""The error tree. Every message says what was wrong and what to do.

ObsError
├── DeclarationError (ValueError)    an instrument was declared or used wrongly
├── QueryError (ValueError)          a query asks for something that cannot be; names the parameter
│   └── CursorExpiredError           the cursor belongs to a storage that is gone: begin again
├── ConfigurationError (ValueError)  settings that cannot work together
└── StorageError                     a storage could not do its work
    └── StorageClosedError           it is not open

Each is shown under the name that it is imported by, in tracebacks and in `error_type`.
"""


class ObsError(Exception):
    """The base of every error that obs raises by itself."""

    __module__ = "obs_core"


class DeclarationError(ObsError, ValueError):
    """An instrument was declared or used wrongly; nothing was changed."""

    __module__ = "obs_core"


class ConfigurationError(ObsError, ValueError):
    """Settings that cannot work together, found at start-up."""

    __module__ = "obs_core"


class QueryError(ObsError, ValueError):
    """A query that cannot be answered; `parameter` names what is wrong."""

    __module__ = "obs_core"

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter

    def __reduce__(self) -> tuple[type["QueryError"], tuple[str, str]]:
        # An error crosses processes, as from a pool of workers.
        return type(self), (self.parameter, str(self))


class CursorExpiredError(QueryError):
    """A cursor of another generation of the storage: read again from the start."""

    __module__ = "obs_core"

    def __init__(self, parameter: str = "after") -> None:
        super().__init__(parameter, "this cursor is of a storage that is gone: read again without it")

    def __reduce__(self) -> tuple[type[QueryError], tuple[str]]:  # type: ignore[override]
        return type(self), (self.parameter,)


class StorageError(ObsError):
    """A storage could not do what was asked; what was acknowledged before is kept."""

    __module__ = "obs_core"


class StorageClosedError(StorageError):
    """A storage was used before it was opened or after it was closed."""

    __module__ = "obs_core"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not open: use it inside `async with`")
        self._name = name

    def __reduce__(self) -> tuple[type["StorageClosedError"], tuple[str]]:
        return type(self), (self._name,)
