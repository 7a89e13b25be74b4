"""An answer as it comes over the wire, for what no client may smooth over."""

import socket
from dataclasses import dataclass
from pathlib import Path

Address = tuple[str, int] | Path
# What differs between two equal answers by its nature.
_OWN = (b"date:", b"x-request-id:")


@dataclass(frozen=True)
class Raw:
    """Status, the lines before the body without what differs by nature, and the body."""

    status: int
    head: tuple[bytes, ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header that is there once."""
        [value] = [line for line in self.head if line.lower().startswith(name.encode() + b":")]
        return value.partition(b":")[2].strip().decode("latin-1")


def ask(
    address: Address, path: str, *lines: bytes, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> Raw:
    """Send a request with these header lines (a Host alone, where none is among them), and read to the end."""
    if not any(line.lower().startswith(b"host:") for line in lines) and version != "1.0":
        lines = (b"host: localhost", *lines)
    if body:
        lines = (*lines, b"content-length: %d" % len(body))
    head = [f"{method} {path} HTTP/{version}".encode(), b"connection: close", *lines, b"", body]
    family = (
        socket.AF_UNIX
        if isinstance(address, Path)
        else socket.AF_INET6
        if ":" in address[0]
        else socket.AF_INET
    )
    with socket.socket(family) as connection:
        connection.settimeout(20)
        connection.connect(str(address) if isinstance(address, Path) else address)
        connection.sendall(b"\r\n".join(head))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    top, _, rest = answer.partition(b"\r\n\r\n")
    found = [line for line in top.split(b"\r\n") if not line.lower().startswith(_OWN)]
    return Raw(int(found[0].split()[1]), tuple(found), rest)
