"""Run the tests on every supported Python that is installed, each in an environment of its own.

Looks for pythonX.Y on the PATH and among pyenv's versions; a missing one is an error.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """The command of one Python version.

    Raises:
        SystemExit: it is not installed.
    """
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    raise SystemExit(f"python{version} is not installed")  # noqa: TRY003, EM102  # a script's way to end


def main() -> None:
    """Test on each version; stop at the first that fails."""
    for version in VERSIONS:
        venv = ROOT / f".venv-{version}"
        print(f"== Python {version}", flush=True)
        environment = os.environ | {"PYTHON": interpreter(version), "VENV": venv.name}
        command = [
            "make",
            "--no-print-directory",
            "test",
            *(f"{name}={environment[name]}" for name in ("PYTHON", "VENV")),
        ]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(f"the tests fail on Python {version}")


if __name__ == "__main__":
    main()
