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
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""


def nginx(folder: Path, upstream: int) -> Server:
    """Passes everything on to a port of this machine; its logs are in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config, port = folder / "nginx.conf", free_port()
    config.write_text(_CONFIG.format(folder=folder, port=port, upstream=upstream))
    command = [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    return Server(command, port, folder)
