"""Every command in the docs and the README is one: run where it can be, else held against the command line."""

from __future__ import annotations

import ast
import builtins
import os
import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from tests.docs.blocks import RUN, blocks_of, ours, told_commands
from tests.docs.runners import run_here, run_in_fresh_process
from workbench.cli.main import app

pytestmark = pytest.mark.usefixtures("warm_workers")
ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])
WHY_NOT = ("needs a GPU", "needs an engine", "needs a checkpoint", "needs the network", "takes minutes")
COPIED = ("sweeps", "examples", "results", "workloads", "dashboards", "Makefile", "benchmarks")


def named(page):
    return str(page.relative_to(ROOT))


def is_fragment(block):
    """Whether it takes names or files for granted that nobody has: a piece of Python, or a placeholder's path."""
    text = "\n".join(block.lines)
    if block.language != "python" or "path/to/" in text:
        return "path/to/" in text
    names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
    bound |= {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    bound |= {
        node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    return bool({node.id for node in names} - bound)


def run_blocks(page):
    """The blocks of a page that are run."""
    for block in blocks_of(page):
        if block.language in RUN and block.why_not_run is None and not is_fragment(block):
            yield block


PAGES_WITH_COMMANDS = [page for page in PAGES if any(run_blocks(page))]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """As after an installation, with `python` and `workbench`."""
    folder = tmp_path_factory.mktemp("tools")
    for name, arguments in (("python", ""), ("workbench", "-m workbench ")):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
        (folder / name).chmod(0o755)
    paths = [str(ROOT), str(ROOT / "kernels")]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(folder), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "WORKBENCH_RESULTS": "",
    }


@pytest.fixture
def checkout(tmp_path):
    """What a command sees of a fresh clone."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        if (ROOT / name).exists():
            copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS, ids=named)
def test_every_command_of_a_page_runs_as_it_stands(page, checkout, environment):
    for block in run_blocks(page):
        run_block(page, block, checkout, environment, run_here)


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS, ids=named)
def test_every_command_of_a_page_runs_in_a_process_of_its_own(page, checkout, environment):
    for block in run_blocks(page):
        run_block(page, block, checkout, environment, run_in_fresh_process)


def run_block(page, block, folder, environment, run):
    for place, command in enumerate(block.commands):
        done = run(command.text, block.language, folder, environment)
        is_last = place == len(block.commands) - 1
        where = f"{named(page)}:{command.line}: {command.text}\n{done.printed[-6000:]}"
        assert done.code == (block.exit_code if is_last else 0), where
        if not block.output_differs:
            for line in command.output:
                assert bare(line) in bare(done.printed, folder), f"{where}\nshown: {line}"


def bare(text, folder="/"):
    """Text without what differs from run to run and from machine to machine: figures, ids, folders, and spaces."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "#", text.replace(f"{folder}/", ""))
    return re.sub(r"[\s─]+|\.\.\.$", "", re.sub(r"[~+-]?\d[\d.,]*(?:e[+-]\d+)?", "#", text))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_that_is_not_run_tells_the_reader_why(page):
    for block in blocks_of(page):
        if block.why_not_run is not None:
            assert block.why_not_run in WHY_NOT, f"{named(page)}:{block.line}"
            assert block.why_not_run in block.before.lower().replace("gpu", "GPU"), (
                f"{named(page)}:{block.line}"
            )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_that_are_only_told_name_commands_and_options_that_exist(page):
    told = [command.text for command in told_commands(page)]
    for block in blocks_of(page):
        if block.language in ("console", "bash"):
            told += [
                line for command in block.commands for line in command.text.replace("\\\n", " ").splitlines()
            ]
    for text in told:
        if (arguments := ours(text)) is not None:
            check_options(arguments, f"{named(page)}: {text}")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_targets_scripts_and_tests_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+(?: [a-z]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets = {target for line in targets for target in line.split()}
    assert {*re.findall(r"^(?: {4}|\$ )make ([a-z]+)", text, re.MULTILINE)} <= targets
    for path in re.findall(r"(?:python |pytest )((?:benchmarks|scripts|tests|examples)/[\w./-]+)", text):
        assert (ROOT / path).exists(), f"{named(page)}: {path}"


@cache
def command_line():
    return get_command(app)


def check_options(arguments, where):
    command, words = command_line(), list(arguments)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    for names in re.findall(r"(?<!\S)--?[A-Za-z][\w|/-]*", " ".join(words)):
        for name in filter(None, re.split(r"[|/](?=--)", names)):
            known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
            assert name in known | {"--help", "-h"}, f"{where}: no option {name}"
    if hasattr(command, "commands"):
        asked = set(words[:1]) <= {"--help", "--version", "-h"}
        assert asked or "|" in words[0], f"{where}: no command {words[0]}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_that_is_not_run_imports_what_exists(page):
    for block in blocks_of(page):
        if block.language == "python" and (block.why_not_run or is_fragment(block)):
            imports = [
                node
                for node in ast.parse("\n".join(block.lines)).body
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            exec(compile(ast.Module(imports, []), named(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if not re.match(r"[a-z]+:", file):
            found = (page.parent / file) if file else page
            assert found.exists(), f"{named(page)}: {target}"
            assert not anchor or anchor in anchors(found), f"{named(page)}: {target}"


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/workflows/*.yml")), ids=named)
def test_commands_of_a_workflow_exist(path):
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in loaded["jobs"].values() for step in job["steps"]]
    found = re.findall(r"python (-m workbench [^\n)]*)", "\n".join(steps))
    assert found
    for command in found:
        check_options(shlex.split(command)[2:], f"{named(path)}: {command}")


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"]({page.name}" not in index] == [
        "README.md"
    ]


def test_pictures_are_small():
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size >= 200_000] == []
