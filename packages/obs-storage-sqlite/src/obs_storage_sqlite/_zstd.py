"""zstd frames of a bounded size."""

import sys
from typing import Final

from obs_core import StorageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What a frame may grow to: a planted one of some kilobytes could claim hundreds of megabytes.
MAX_SIZE: Final = 64 * 1024 * 1024


def compress(data: bytes, level: int = 3) -> bytes:
    """One frame, which carries its size."""
    return zstd.compress(data, level)


def decompress(frame: bytes) -> bytes:
    """Raises `StorageError` for what is no frame of ours, or claims to be larger than `MAX_SIZE`."""
    try:
        size: int | None = zstd.get_frame_info(frame).decompressed_size
        if size not in range(MAX_SIZE + 1):
            raise StorageError(f"a compressed block claims {size} bytes: at most {MAX_SIZE} are read")
        return zstd.decompress(frame)
    except zstd.ZstdError as error:
        raise StorageError(f"a compressed block is damaged: {error}") from error
