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
    """One frame, which carries its size. Raises `StorageError` for more than `decompress` would read."""
    if len(data) > MAX_SIZE:
        raise StorageError(f"{len(data)} bytes are too many for a block: at most {MAX_SIZE} are read")
    return zstd.compress(data, level)


def decompress(frame: bytes, bound: int = MAX_SIZE) -> bytes:
    """Raises `StorageError` for what is no single frame of ours, or claims to be larger than `bound`."""
    try:
        size: int | None = zstd.get_frame_info(frame).decompressed_size
        if size is None or not 0 <= size <= bound:
            raise StorageError(f"a compressed block claims {size} bytes: at most {bound} are read")
        opened = zstd.ZstdDecompressor()
        data = opened.decompress(frame, size + 1)
    except zstd.ZstdError as error:
        raise StorageError(f"a compressed block is damaged: {error}") from error
    # What is behind a first frame could be of any size.
    if not opened.eof or opened.unused_data or len(data) != size:
        raise StorageError("a compressed block is damaged: it is not one whole frame")
    return data
