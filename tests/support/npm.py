"""Programs in JavaScript that tests run: installed into a cache folder outside the checkout, with a Node of their own."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

INSTALL_SECONDS = 600


def cache_folder():
    """HEARTH_TESTS_CACHE, by default hearth-tests in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth-tests"
    return Path(os.environ.get("HEARTH_TESTS_CACHE") or default)


def digest(*files):
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


class Workspace:
    """A copy of a folder with package.json and package-lock.json, where these packages are installed.

    There is one for each state of the two files, made by the first who wants it. Their optional packages node-linux-* bring Node.
    """

    def __init__(self, source):
        manifest = [source / "package.json", source / "package-lock.json"]
        self.folder = cache_folder() / f"{source.name}-{digest(*manifest)}"
        with self.locked():
            if not (self.folder / "installed").exists():
                shutil.rmtree(self.folder, ignore_errors=True)
                shutil.copytree(source, self.folder)
                self.install()
            shutil.copytree(source, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    @contextmanager
    def locked(self):
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self.folder}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def install(self):
        done = subprocess.run(["npm", "ci"], cwd=self.folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"npm ci: {done.stderr[-2000:]}")
        (self.folder / "installed").touch()

    def node(self, *arguments, seconds):
        """Runs a script of the folder. Returns what it printed; fails with it if its exit status is not 0."""
        machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
        node = self.folder / "node_modules" / f"node-linux-{machine}" / "bin" / "node"
        command = [node, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
        assert done.returncode == 0, f"{arguments[0]}: exit status {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def built(self, name, inputs, build):
        """The folder `name` in the workspace, which build(folder) fills, again whenever one of the input files has changed."""
        folder = self.folder / name
        stamp = self.folder / f"{name}.built"
        state = digest(*inputs)
        with self.locked():
            if not stamp.exists() or stamp.read_text() != state:
                shutil.rmtree(folder, ignore_errors=True)
                build(folder)
                stamp.write_text(state)
        return folder
