"""An application that takes over the metrics of a library: `python application.py`, beside `thumbnails`."""

import thumbnails

from obs_core import Registry
from obs_core.encoders import exposition

registry = Registry()
registry.include(thumbnails.registry)


def main() -> None:
    thumbnails.thumbnail(4000, 3000)
    thumbnails.thumbnail(64, 64, "webp")
    print(exposition(registry.collect()).decode(), end="")


if __name__ == "__main__":
    main()
