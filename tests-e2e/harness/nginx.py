"""A real nginx in front of a service, as plain as most are."""

from pathlib import Path

from .places import free_port
from .prometheus import program
from .server import Server

_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; {more} }}
    }}
}}
"""


def nginx(folder: Path, upstream: int | Path, more: str = "") -> Server:
    """Passes everything on to a port of this machine or a Unix socket; its logs are in the folder.

    `more` is what else its location says, such as headers that it sets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, port = folder / "nginx.conf", free_port()
    address = f"http://127.0.0.1:{upstream}" if isinstance(upstream, int) else f"http://unix:{upstream}:"
    config.write_text(_CONFIG.format(folder=folder, port=port, upstream=address, more=more))
    command = [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    return Server(command, port, folder)
