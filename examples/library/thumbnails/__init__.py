"""A library that counts what it does, and leaves to its user whether anybody looks.

It needs obs-core alone: a registry of its own, no runtime, no storage, no thread.
"""

from obs_core import Registry

registry = Registry()
_made = registry.counter("thumbnails_total", "Thumbnails made.", labels=("format",))
_pixels = registry.histogram("thumbnail_pixels", "Size of a thumbnail.", buckets=(1_000, 10_000, 100_000))


def thumbnail(width: int, height: int, format: str = "png") -> tuple[int, int]:
    """The size that fits into 256 by 256."""
    scale = min(1.0, 256 / max(width, height))
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    _made.labels(format).inc()
    _pixels.observe(size[0] * size[1])
    return size
