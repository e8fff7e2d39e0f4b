"""The real command in a folder of its own, with all that it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.in_process import workbench_here
from tests.support.patience import PATIENCE_S
from tests.support.processes import processes_with, serves_all, start_in_terminal, wait_until_gone

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
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
        return start_in_terminal(
            [sys.executable, "-m", "workbench", *self._arguments(*options)],
            cwd=self.folder,
            env={**self._variables(), **path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def run(self, *options):
        """Runs it to its end, in this process, which has imported it all already."""
        arguments = self._arguments(*options)
        done = workbench_here(arguments, cwd=self.folder, environment=self._variables())
        assert self.left_behind() == set()
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def run_alone(self, *options, **more):
        """Runs it to its end in a process of its own, which nobody outlives."""
        process = self.start(*options, **more)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert self.left_behind() == set()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def finish(self, *options):
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        return done

    def finish_alone(self, *options):
        done = self.run_alone(*options)
        assert done.returncode == 0, done.stderr
        return done

    def _variables(self):
        name, _, value = self.marker.partition("=")
        return {**os.environ, **self.environment, name: value}

    def _arguments(self, *options):
        return ["sweep", self.file.name, "--out", str(self.out), *self.options, *options]

    def kill(self, process):
        self.end(process, signal.SIGKILL)

    def end(self, process, how):
        """Ends the process by a signal, or as Ctrl-C does with its children; says what was on standard error."""
        everyone = processes_with(self.marker) | {process.pid}
        os.killpg(process.pid, how) if how is signal.SIGINT else process.send_signal(how)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert wait_until_gone(everyone) == set()
        assert self.left_behind() == set()
        return err

    def left_behind(self):
        """Processes of the sweep; not those that serve all that multiprocessing starts in this process."""
        return wait_until_gone({pid for pid in processes_with(self.marker) if not serves_all(pid)})

    @property
    def has_begun(self):
        """Whether all is written that comes before the first trial."""
        return any(self.out.glob("runs/*/seeds.json"))

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
    def results(self):
        return [path for path in self.out.glob("*/*/*.json") if path.parts[-3] != "runs"]

    @property
    def winners(self):
        """Every results file by its name, dates left out."""
        return {path.relative_to(self.out).as_posix(): _undated(path) for path in self.results}


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
