"""The real command in a folder of its own, with all that it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.processes import processes_with, wait_until_gone

ROOT = Path(__file__).parents[2]


class SweepCommand:
    """One sweep.

    Attributes:
        folder: with the sweep file, and by default with the results.
        out: the results folder.
        marker: in the environment of every process of the sweep.
    """

    def __init__(self, folder, sweep, *options, out=None, file="sweep.yaml", **environment):
        folder.mkdir(exist_ok=True)
        self.folder, self.out = folder, out or folder / "results"
        self.options, self.environment, self.marker = options, environment, f"SWEEP_TEST={folder}/{file}"
        self.file = folder / file
        self.file.write_text(sweep)

    def start(self, *options, **more):
        name, _, value = self.marker.partition("=")
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
        arguments = ["sweep", self.file.name, "--out", str(self.out), *self.options, *options]
        return subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, **path, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **more,
        )

    def run(self, *options, seconds=300, **more):
        """Runs it to its end, which nobody outlives; what it said on standard error is `stderr`."""
        process = self.start(*options, **more)
        out, err = process.communicate(timeout=seconds)
        assert self.left_behind() == set()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def finish(self, *options, **more):
        done = self.run(*options, **more)
        assert done.returncode == 0, done.stderr
        return done

    def kill(self, process):
        everyone = processes_with(self.marker) | {process.pid}
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert wait_until_gone(everyone) == set()
        assert self.left_behind() == set()

    def left_behind(self):
        return wait_until_gone(processes_with(self.marker))

    @property
    def journal(self):
        journals = [path for path in self.out.glob("runs/*/trials.jsonl") if ".before-" not in str(path)]
        return journals[0] if journals else None

    @property
    def recorded(self):
        """The whole lines of the journal, also before there is one."""
        return self.journal.read_bytes().split(b"\n")[:-1] if self.journal else []

    @property
    def trials(self):
        return [json.loads(line) for line in self.recorded]

    @property
    def winners(self):
        """Every results file by its name, dates left out."""
        files = [path for path in self.out.glob("*/*/*.json") if path.parts[-3] != "runs"]
        return {path.relative_to(self.out).as_posix(): _undated(path) for path in files}


def _undated(path):
    file = json.loads(path.read_text())
    for run in file["runs"].values():
        del run["date"]
    return file


def error_of(done):
    """The one line that a command that went wrong ends with."""
    *_, last = done.stderr.splitlines()
    assert done.stderr.count("error: ") == 1, done.stderr
    assert last.startswith("error: ")
    return last
