"""The real servers that the end-to-end suite drives: Prometheus with promtool, nginx, and a clock that can be set.

python3 tools/servers.py    gets what is not here yet, and prints where each is

What the system has is taken. Else Debian's or Ubuntu's package is fetched by apt, which checks its signature, and
unpacked under .build: that needs no root, starts no service and changes nothing of the system.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from workspace import BUILD

FOLDER = BUILD / "servers"
CLOCK = "libfaketime.so.1"  # a library, loaded into a process by LD_PRELOAD
PACKAGE_OF = {"prometheus": "prometheus", "promtool": "prometheus", "nginx": "nginx", CLOCK: "libfaketime"}
VERSION_OF = {"prometheus": "--version", "promtool": "--version", "nginx": "-v"}
SYSTEM = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
LIBRARIES = Path("/usr/lib")
DEADLINE = 300


def works(path: Path, name: str) -> bool:
    """Whether this server runs here: it may lack a library."""
    command, env = [str(path), VERSION_OF.get(name, "")], dict(os.environ)
    if name == CLOCK:
        command, env = ["date", "+%Y"], {**env, "LD_PRELOAD": str(path), "FAKETIME": "@2001-01-01 00:00:00"}
    try:
        done = subprocess.run(command, env=env, capture_output=True, timeout=DEADLINE, check=False)
    except OSError:
        return False
    return done.returncode == 0 and (name != CLOCK or done.stdout == b"2001\n")


def found(name: str) -> Path | None:
    """Where the system has it."""
    if name == CLOCK:
        return next(LIBRARIES.glob(f"*/faketime/{name}"), None)
    path = shutil.which(name, path=SYSTEM)
    return Path(path) if path else None


def links() -> dict[str, Path]:
    """The servers that can be had already, by name."""
    return {
        name: FOLDER / name for name in PACKAGE_OF if (FOLDER / name).exists() and works(FOLDER / name, name)
    }


def link(name: str, target: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).unlink(missing_ok=True)
    (FOLDER / name).symlink_to(target)


def apt(*arguments: str, cwd: Path) -> str:
    """Run apt-get with lists and a cache of its own; what it complained of, empty where all is well."""
    state = FOLDER / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Retries": 3,
        "Acquire::http::Timeout": 60,
    }
    command = [
        "apt-get",
        "-q",
        *(part for key, value in options.items() for part in ("-o", f"{key}={value}")),
    ]
    try:
        done = subprocess.run(
            [*command, *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except FileNotFoundError:
        return "there is no apt-get here"
    except subprocess.TimeoutExpired:
        return f"apt-get {arguments[0]} took over {DEADLINE} s"
    return done.stdout if done.returncode else ""


def fetch(packages: set[str]) -> str:
    """Unpack these packages under .build; what went wrong, empty where nothing did."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    root = FOLDER / "root"
    with tempfile.TemporaryDirectory(dir=FOLDER) as part:
        wrong = apt("update", cwd=Path(part)) or apt("download", *sorted(packages), cwd=Path(part))
        if wrong:
            return wrong
        for archive in Path(part).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
    return ""


def get() -> tuple[Path, str]:
    """The folder that holds a link to each server, and one line on what is missing (empty where nothing is)."""
    for name in PACKAGE_OF:
        path = found(name)
        if name not in links() and path and works(path, name):
            link(name, path)
    missing = PACKAGE_OF.keys() - links().keys()
    if not missing:
        return FOLDER, ""
    print(f"fetching {', '.join(sorted(missing))} (once) ...", flush=True)
    wrong = fetch({PACKAGE_OF[name] for name in missing})
    for name in missing:
        for pattern in (f"usr/*bin/{name}", f"usr/lib/*/faketime/{name}"):
            for path in (FOLDER / "root").glob(pattern):
                link(name, path)
    missing = PACKAGE_OF.keys() - links().keys()
    if not missing:
        return FOLDER, ""
    reason = wrong.strip().splitlines()[-1:] or ["it does not run here: a library may be missing"]
    return FOLDER, (
        f"no {', '.join(sorted(missing))} on this machine ({reason[0]}): its tests are skipped; "
        "install the package yourself to run them"
    )


def main() -> int:
    folder, missing = get()
    for name in sorted(links()):
        print(f"{name}: {(folder / name).resolve()}")
    if missing:
        print(missing, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
