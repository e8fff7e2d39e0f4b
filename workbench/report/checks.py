"""The checks behind `workbench doctor`: each looks at one thing, tries it where it can, and never raises."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workbench.devices import catalogue, detect_device, driver_installed, driver_version
from workbench.report.doctor import Check, Diagnosis
from workbench.report.probe_checks import compile_checks, interpreter_check, launch_check, running
from workbench.trials.trial import Evidence

MINIMUM_PYTHON = (3, 11)
MINIMUM = {"torch": (2, 11), "triton": (3, 6)}
TOOLS = {"ptxas": "ptxas", "ptxas-blackwell": "ptxas_blackwell", "cuobjdump": "cuobjdump"}
REINSTALL = "reinstall triton; its wheel ships the tool (or set TRITON_{}_PATH)"


def diagnose() -> Diagnosis:
    """Looks at this machine; takes some seconds, since it compiles and runs small kernels."""
    # The probes are processes of their own and run while the rest is looked at.
    with running("compile") as compiling, running("interpret") as interpreting:
        environment = (python_check(), *(package_check(name) for name in MINIMUM), cores_check())
        gpu = gpu_check()
        launch = (launch_check(),) if gpu.state != "missing" else ()
        tools = tuple(tool_check(name) for name in TOOLS)
        folders = (*results_checks(), cache_check())
        cross = compile_checks(compiling)
        interpreter = interpreter_check(interpreting)
    checks = (*environment, gpu, driver_check(), *launch, *tools, *cross, interpreter, *folders)
    return Diagnosis(checks, evidence_of(checks))


def evidence_of(checks: tuple[Check, ...]) -> tuple[Evidence, ...]:
    """What a sweep can produce, given what works."""
    works = {check.name for check in checks if check.ok}
    measured = "launch on the GPU" in works
    modelled = {"cuobjdump", "interpreter"} <= works and any(name.startswith("compile for") for name in works)
    possible = {Evidence.MEASURED: measured, Evidence.MODELLED: modelled}
    return tuple(kind for kind, can in possible.items() if can)


def python_check() -> Check:
    """Python against the oldest that is supported."""
    if sys.version_info[:2] >= MINIMUM_PYTHON:
        return Check("Python", "ok", platform.python_version())
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return Check(
        "Python", "missing", f"{platform.python_version()}, older than {wanted}", f"use {wanted} or newer"
    )


def package_check(name: str) -> Check:
    """The installed version of torch or triton against the oldest that is supported."""
    wanted = ".".join(map(str, MINIMUM[name]))
    remedy = f'pip install "{name}>={wanted}"'
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Check(name, "missing", "not installed", remedy)
    if _release(installed) < MINIMUM[name]:
        return Check(name, "missing", f"{installed}, older than {wanted}", remedy)
    return Check(name, "ok", installed)


def cores_check() -> Check:
    """How many processes can compile at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", "ok", f"{cores}, each compiles configs in a process of its own")


def gpu_check() -> Check:
    """The GPU at hand, against what the catalogue says of it."""
    device = detect_device()
    if device is None:
        return Check(
            "GPU at hand", "missing", _why_no_gpu(), "to measure, run on a machine with an NVIDIA GPU"
        )
    detail = (
        f"{device.device_name} ({device.arch}, {device.sm_count} SMs, {device.memory_bytes / 2**30:.4g} GiB)"
    )
    entry = next((each for each in catalogue() if each.slug == device.slug), None)
    if entry is None:
        return Check(
            "GPU at hand", "warning", f"{detail}, not in the catalogue", "figures are those CUDA reports"
        )
    if entry.sm_count != device.sm_count:
        remedy = f"is it a slice? Results are filed under {entry.slug}, which has {entry.sm_count} SMs"
        return Check("GPU at hand", "warning", detail, remedy)
    return Check("GPU at hand", "ok", detail)


def driver_check() -> Check:
    """The NVIDIA driver, through NVML, which also gives the clocks of measurements."""
    found = driver_version()
    if found:
        return Check("NVIDIA driver", "ok", f"{found}, NVML answers")
    if driver_installed():
        remedy = (
            "clocks and throttling cannot be logged; in a container, enable the driver's `utility` capability"
        )
        return Check("NVIDIA driver", "warning", "CUDA's library is there, NVML does not answer", remedy)
    return Check("NVIDIA driver", "missing", "no libcuda.so.1, NVML does not answer")


def tool_check(name: str) -> Check:
    """One of the NVIDIA tools that Triton's wheel ships, where Triton looks for it."""
    try:
        import triton

        tool = getattr(triton.knobs.nvidia, TOOLS[name])
        return Check(name, "ok", f"{tool.version} ({tool.path})")
    except Exception as error:  # an absent tool raises RuntimeError, an absent triton ImportError
        remedy = REINSTALL.format(name.upper().replace("-", "_"))
        return Check(name, "missing", " ".join(str(error).split()), remedy)


def results_checks() -> tuple[Check, ...]:
    """Where a lookup reads winners, in its order, and whether a sweep can write them here."""
    try:
        from moe_kernels.tuned import results_folders

        folders = results_folders()
    except ImportError as error:
        return (Check("results", "missing", f"{error}", "reinstall the workbench"),)
    return (
        *(_results_check(each.origin, each.path) for each in folders),
        _writable("./results", Path("results")),
    )


def cache_check() -> Check:
    """Triton's cache of compiled kernels, without which every sweep compiles anew."""
    try:
        import triton

        folder = Path(triton.knobs.cache.dir)
    except Exception as error:  # see `tool_check`
        return Check("Triton's cache", "missing", " ".join(str(error).split()))
    return _writable("Triton's cache", folder, "set TRITON_CACHE_DIR to a folder that can be written")


def _why_no_gpu() -> str:
    if not driver_installed():
        return "no NVIDIA driver"
    return "a driver, but torch sees no CUDA GPU: a CPU build of torch, or CUDA_VISIBLE_DEVICES hides it"


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _results_check(origin: str, path: Path) -> Check:
    name = f"results in {origin}"
    if path.is_dir():
        count = sum(1 for _ in path.glob("*/*/*.json"))
        return Check(name, "ok", f"{count} files in {path}")
    if origin.startswith("$"):
        return Check(name, "warning", f"{path} is no folder", f"correct {origin}, or unset it")
    return Check(name, "ok", f"none yet ({path})")


def _writable(name: str, folder: Path, remedy: str = "give a sweep --out, or run it elsewhere") -> Check:
    why_not = _attempt(lambda: _write_below(folder))
    if why_not is None:
        return Check(f"{name} writable", "ok", f"{folder.resolve()}")
    return Check(f"{name} writable", "missing", why_not, remedy)


def _write_below(folder: Path) -> None:
    """Writes a file into a folder, or into the nearest one above it where it is not there yet."""
    nearest = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    with tempfile.TemporaryFile(dir=nearest) as file:
        file.write(b"0")


def _attempt(action: Callable[[], None]) -> str | None:
    try:
        action()
    except OSError as error:
        return f"{error.strerror or error} ({error.filename})"
    return None
