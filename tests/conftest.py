"""What several test modules share."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ecogvault.files import lock

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def npm_tools() -> Path:
    """The folder in which the packages of tests/npm/package-lock.json are installed and its scripts lie.

    Installed once, and again when the lock file changes; workers that start together wait for each other.
    """
    wanted = ROOT / "tests" / "npm"
    installed = ROOT / ".tools" / "npm"
    installed.parent.mkdir(exist_ok=True)
    with lock(installed.parent / "npm.lock", what="the npm packages of the tests"):
        stamp = installed / "installed.json"
        lock_file = (wanted / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != lock_file:
            shutil.rmtree(installed, ignore_errors=True)
            installed.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(wanted / name, installed)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=installed, check=True)
            stamp.write_bytes(lock_file)
        for script in wanted.glob("*.mjs"):
            shutil.copy(script, installed)
    return installed
