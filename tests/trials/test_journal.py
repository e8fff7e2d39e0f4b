from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workbench.base.errors import InputError
from workbench.base.files import write_whole
from workbench.trials.journal import Journal, read_trials
from workbench.trials.trial import Evidence, Final, Resources, Stage, Status, Trial

RESOURCES = Resources(
    registers=32,
    spill_bytes=8,
    shared_bytes=16,
    num_warps=4,
    instructions={"scalar": 9},
    critical_cycles=50,
)
OK = Trial(
    trial="one",
    problem={"tokens": 1, "dtype": "bf16"},
    config={"block": 1, "mode": "fast", "scale": 0.5},
    stage=Stage.MEASURE,
    status=Status.OK,
    time_us=1.25,
    evidence=Evidence.MEASURED,
    ratio=0.5,
    ratio_ci=(0.4, 0.6),
    ci_us=(1.2, 1.3),
    resources=(RESOURCES, RESOURCES),
    verified_on={"tokens": 1, "dtype": "bf16"},
)
FAILED = Trial(
    trial="two",
    problem={"tokens": 2},
    config={"block": 2},
    stage=Stage.SCREEN,
    status=Status.PRUNED,
    reason='needs "1" and\nmore \u00b5',
)


def journal(folder, **more):
    return Journal(folder, **{"sweep": {"name": "toy"}, "environment": {"jobs": 1}, **more})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "toy-0123"


def lines(path):
    return path.read_text().splitlines()


def test_trials_come_back_as_they_were(folder):
    with journal(folder) as first:
        first.record([OK])
        first.record([FAILED])
    with journal(folder) as again:
        assert again.trials == {"one": OK, "two": FAILED}


def test_a_trial_is_one_line_with_the_fields_that_readers_count_on(folder):
    with journal(folder) as open_journal:
        open_journal.record([FAILED])
        assert len(lines(folder / "trials.jsonl")) == 1
    row = json.loads(lines(folder / "trials.jsonl")[0])
    assert (row["stage"], row["status"]) == ("screen", "pruned")
    assert {"trial", "problem", "config", "time_us", "evidence", "reason"} < row.keys()
    assert (row["time_us"], row["evidence"]) == (None, "none")


def test_finals_come_back_by_the_name_of_their_finalists(folder):
    final = Final((OK, FAILED), 0.02)
    with journal(folder) as first:
        first.record_final(final)
    with journal(folder) as again:
        assert again.finals == {final.name: final}
    assert Final((FAILED, OK), 0.5).name == final.name != Final((OK,), 0.02).name


def test_the_folder_says_what_was_run_and_where(folder):
    with journal(folder) as open_journal:
        open_journal.record_samples([{"name": "one", "time_us": 1.0}, {"name": "one", "time_us": 2.0}])
    assert json.loads((folder / "sweep.json").read_text()) == {"name": "toy"}
    assert json.loads((folder / "environment.json").read_text())["jobs"] == 1
    assert len(lines(folder / "samples.jsonl")) == 2


def test_the_first_start_stays_the_start(folder):
    with journal(folder) as first:
        pass
    about = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**about, "started": "2026-01-01T00:00:00Z"}))
    with journal(folder, environment={"jobs": 2}) as again:
        assert again.started == "2026-01-01T00:00:00Z"
    about = json.loads((folder / "environment.json").read_text())
    assert (about["started"], about["jobs"]) == ("2026-01-01T00:00:00Z", 2)
    assert first.started.endswith("Z")


@pytest.mark.parametrize("half", ['{"trial": "th', "{", json.dumps({"trial": "whole"}), "\x00\x00"])
def test_a_half_written_last_line_is_dropped(folder, half):
    with journal(folder) as first:
        first.record([OK])
    with (folder / "trials.jsonl").open("a") as file:
        file.write(half)
    with journal(folder) as again:
        assert again.trials == {"one": OK}
        again.record([FAILED])
    assert [trial.trial for trial in read_trials(folder / "trials.jsonl")] == ["one", "two"]


def test_a_journal_that_is_one_half_line_is_empty(folder):
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text('{"trial"')
    with journal(folder) as again:
        assert again.trials == {}
    assert (folder / "trials.jsonl").read_text() == ""


@pytest.mark.parametrize("name", ["trials.jsonl", "finals.jsonl"])
@pytest.mark.parametrize(
    "damage", [b"{", b"", b"[]", b"5", b"null", b'{"trial": "x"}', b"\xff\xfe", b"\x00" * 8, b'{"trials": 5}']
)
def test_a_damaged_line_in_the_middle_is_named(folder, name, damage):
    with journal(folder) as first:
        for trial in (OK, FAILED):
            first.record([trial])
            first.record_final(Final((trial,), 0.0))
    path = folder / name
    one, two = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([one, damage, two, b""]))
    before = path.read_bytes()
    with pytest.raises(InputError) as caught, journal(folder):
        pass
    assert (caught.value.file, caught.value.line) == (path, 2)
    assert "--fresh" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_after_an_error_the_lock_is_free_again(folder):
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text("damaged\n")
    for _ in range(2):
        with pytest.raises(InputError, match="damaged journal"), journal(folder):
            pass


def test_fresh_puts_the_old_journal_aside_and_loses_nothing(folder):
    with journal(folder) as first:
        first.record([OK])
    for count in (1, 2):
        with journal(folder, fresh=True) as again:
            assert again.trials == {}
            again.record([FAILED])
        asides = sorted(folder.parent.glob("toy-0123.before-*"))
        assert len(asides) == count
    assert [trial.trial for trial in read_trials(asides[0] / "trials.jsonl")] == ["one"]


def test_fresh_works_on_a_damaged_journal_and_on_none(folder):
    with journal(folder, fresh=True):
        pass
    (folder / "trials.jsonl").write_text("damaged\n")
    with journal(folder, fresh=True) as again:
        assert again.trials == {}


HOLD = """\
import sys
from pathlib import Path
from workbench.trials.journal import Journal

with Journal(Path(sys.argv[1]), sweep={}, environment={}):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_journal_that_another_process_holds_is_refused(folder, holder):
    with pytest.raises(InputError, match="another process is running this sweep") as caught, journal(folder):
        pass
    assert f"(pid {holder.pid} on {socket.gethostname()} since 20" in str(caught.value)
    assert caught.value.file == folder


def test_the_lock_of_a_dead_process_is_taken_over(folder, holder):
    holder.kill()
    holder.wait()
    with journal(folder) as mine:
        assert mine.taken_over_from.pid == holder.pid
        mine.record([OK])
    with journal(folder) as again:
        assert again.taken_over_from is None


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": "x"}', "\xff", '{"pid": 1, "host": 2}'])
def test_a_note_of_who_holds_the_lock_that_cannot_be_read_changes_nothing(folder, note):
    folder.parent.mkdir(parents=True)
    folder.with_name(f".{folder.name}.lock.holder").write_bytes(note.encode("latin-1"))
    with journal(folder) as mine:
        assert mine.taken_over_from is None


def test_a_note_cannot_write_to_the_terminal(folder):
    with journal(folder):
        note = folder.with_name(f".{folder.name}.lock.holder")
        fields = json.loads(note.read_text())
        note.write_text(json.dumps({**fields, "command": "workbench\x1b[2J\nerror: all is lost"}))
        with pytest.raises(InputError) as caught, journal(folder):
            pass
    assert str(caught.value).isprintable()


def test_two_journals_in_one_process_exclude_each_other_too(folder):
    with journal(folder), pytest.raises(InputError, match="another process"), journal(folder):
        pass


@pytest.mark.parametrize("place", [".", "runs", "runs/toy-0123"])
def test_a_file_in_the_place_of_a_folder_is_one_error(tmp_path, place):
    blocked = tmp_path / "out" / place
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file")
    assert_cannot_be_written(tmp_path / "out" / "runs" / "toy-0123")
    assert blocked.read_text() == "a file"


@pytest.mark.parametrize("name", ["environment.json", "trials.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_one_error(folder, name):
    (folder / name).mkdir(parents=True)
    assert_cannot_be_written(folder)


def assert_cannot_be_written(folder):
    with pytest.raises(InputError, match="cannot be written") as caught, journal(folder):
        pass
    assert "\n" not in str(caught.value)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_whole(path, "old\n")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InputError, match="No space left on device"):
        write_whole(path, "new\n")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_takes_the_place_of_a_file_only(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="cannot be written: is no regular file"):
        write_whole(pipe, "text\n")
    assert pipe.is_fifo()
    with pytest.raises(InputError, match="cannot be written: is a folder"):
        write_whole(tmp_path, "text\n")
    with pytest.raises(InputError, match="cannot be written: is a folder"):
        write_whole(Path(), "text\n")
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, texts = tmp_path / "file.json", ["a" * 200_000, "b" * 100_000]
    write_whole(path, texts[0])
    done, seen = threading.Event(), set()

    def read():
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        write_whole(path, texts[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(texts)


def test_what_a_process_left_that_was_killed_while_it_wrote_is_cleared_away(folder):
    with journal(folder) as first:
        first.record([OK])
    (folder / ".seeds.json.123.tmp").write_text("half of")
    with journal(folder) as again:
        assert again.trials == {"one": OK}
        assert not list(folder.glob(".*"))
