"""Takes what came back from a GPU into `results/`, after checking it.

    scripts/gpu_adopt gpu                  # a folder with measured-N.tar.gz, or the files themselves
    scripts/gpu_adopt gpu --dry-run        # only say what would be taken

A row is taken where it was measured, under its own device's name, by the kernel's source as it is here, and not
provisionally; it takes the place of a modelled row, or of one that was measured earlier. What else was measured goes to
evidence/DEVICE-DATE/: benchmarks, profiles, the log, and the archives themselves, which hold the raw samples. Journals
go to results/runs/, where `plot sweep` and the dashboard find them.

Exit code 0 where something was taken, 1 where nothing was, 2 where the archives cannot be used.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from first_contact.archive import ArchiveError, archives_in, read_manifest, unpack
from moe_kernels.device_slug import device_slug
from moe_kernels.tuned import Row, TunedFile, serialise
from workbench.base.errors import InputError
from workbench.base.files import write_whole
from workbench.bench.rows import bench_files, read_bench
from workbench.trials.winners import kernel_at_hand, read_results_file, results_files

KEPT_FOLDERS = ("benchmarks", "profiles")
KEPT_FILES = ("logs.txt", "steps.json", "manifest.json")


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of one results file: its path below the results, the rows taken, and why others were not."""

    name: Path
    tokens: tuple[int, ...]
    refused: tuple[str, ...]


def main() -> int:
    arguments = parse_arguments()
    archives = [
        part for path in arguments.archives for part in (archives_in(path) if path.is_dir() else [path])
    ]
    with tempfile.TemporaryDirectory() as folder:
        try:
            if not archives:
                raise ArchiveError(f"{arguments.archives[0]}: holds no measured-N.tar.gz")
            unpack(archives, Path(folder))
            if read_manifest(Path(folder)).get("rehearsal") is not False:
                raise ArchiveError("these archives are of a rehearsal: nothing in them was measured")
            adopted = list(adopt(Path(folder) / "results", arguments.results, dry_run=arguments.dry_run))
        except (ArchiveError, InputError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        for each in adopted:
            print(describe(each))
        taken = [each for each in adopted if each.tokens]
        if taken and not arguments.dry_run:
            keep(Path(folder), archives, arguments.evidence, device=taken[0].name.parts[0])
            keep_journals(Path(folder) / "results" / "runs", arguments.results / "runs")
    print(f"gpu_adopt: {sum(len(each.tokens) for each in adopted)} rows of {len(taken)} files")
    return 0 if taken else 1


def parse_arguments() -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_adopt",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE", help="archives, or their folder")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="FOLDER", help="default: results"
    )
    parser.add_argument(
        "--evidence", type=Path, default=Path("evidence"), metavar="FOLDER", help="default: evidence"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be taken, and take nothing")
    return parser.parse_args()


def adopt(found: Path, results: Path, *, dry_run: bool) -> Iterator[Adopted]:
    """Merges the measured rows of one results folder into another.

    Args:
        found: the folder that came back.
        results: the folder that they go into.
        dry_run: nothing is written.

    Raises:
        InputError: a file of either folder is damaged.
    """
    for path in results_files([found]):
        name = path.relative_to(found)
        file = read_results_file(path)
        reasons = {tokens: why_refused(file, row, name) for tokens, row in file.rows.items()}
        good = {tokens: file.rows[tokens] for tokens, reason in reasons.items() if reason is None}
        if good and not dry_run:
            write_whole(results / name, serialise(merged(results / name, file, good)))
        refused = Counter(reason for reason in reasons.values() if reason)
        yield Adopted(name, tuple(good), tuple(f"{count} {reason}" for reason, count in refused.items()))
    for path in bench_files(found):
        name = path.relative_to(found)
        read_bench(path)
        if not dry_run:
            write_whole(results / name, path.read_text(encoding="utf-8"))
        yield Adopted(name, (), ("rows of a workload, taken as a whole",))


def why_refused(file: TunedFile, row: Row, name: Path) -> str | None:
    """Why a row is not taken, None where it is."""
    kernel = kernel_at_hand(file.kernel, file.problem)
    if (file.device, file.kernel) != name.parts[:2] or file.device != device_slug(file.device_name):
        return "under the name of another device or kernel"
    if row.evidence != "measured":
        return row.evidence
    if kernel is None:
        return "of a kernel that is not here"
    if file.runs[row.run].source_hash != kernel.source_hash:
        return "of another source of the kernel"
    return None


def merged(path: Path, file: TunedFile, rows: dict[int, Row]) -> TunedFile:
    """A results file with measured rows put in; rows that stand and runs that they name stay.

    Raises:
        InputError: the file that stands is damaged, or of something else.
    """
    if not path.exists():
        return replace(file, rows=rows, runs={row.run: file.runs[row.run] for row in rows.values()})
    standing = read_results_file(path)
    if (standing.kernel, standing.device, standing.problem) != (file.kernel, file.device, file.problem):
        raise InputError("holds another kernel, device or problem", file=path)
    together = dict(sorted({**standing.rows, **rows}.items()))
    runs = {**standing.runs, **file.runs}
    return replace(standing, rows=together, runs={row.run: runs[row.run] for row in together.values()})


def keep(found: Path, archives: Sequence[Path], evidence: Path, *, device: str) -> None:
    """Copies what is no winner: benchmarks, profiles and the log, and the archives as they came."""
    folder = evidence / f"{device}-{datetime.now(UTC):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT_FOLDERS:
        if (found / name).is_dir():
            shutil.copytree(found / name, folder / name, dirs_exist_ok=True)
    for path in (*(found / name for name in KEPT_FILES), *archives):
        if path.is_file():
            shutil.copy(path, folder / path.name)


def keep_journals(found: Path, runs: Path) -> None:
    """Copies journals of runs that are not there yet."""
    for path in sorted(found.glob("*/")):
        if not (runs / path.name).exists():
            shutil.copytree(path, runs / path.name)


def describe(adopted: Adopted) -> str:
    """One line for people."""
    taken = f"tokens {', '.join(map(str, adopted.tokens))}" if adopted.tokens else "none taken"
    return "; ".join([f"{adopted.name}: {taken}", *(f"not {each}" for each in adopted.refused)])


if __name__ == "__main__":
    sys.exit(main())
