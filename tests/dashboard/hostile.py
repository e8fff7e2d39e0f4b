"""Text that would do harm if a page, a terminal or a path took it for more than text; in every field that takes any."""

from __future__ import annotations

from tests.dashboard.samples import (
    DEFAULT,
    LADDER,
    a_bench_row,
    a_failed_run,
    a_row,
    a_trial,
    timed,
    write_a_profile,
    write_rows,
    write_run,
    write_winners,
)
from workbench.trials.trial import Final, Status

SCRIPT = "</script><script>document.title='pwned'</script>"
IMAGE = "<img src=x onerror=\"document.title='pwned'\">"
REVERSED = "\u202egnp.exe\u2066"
SEPARATORS = "line\u2028para\u2029nul\x00esc\x1b[31m"
LONG = "x" * 300
TEMPLATE = "{{data}}{{policy}}${document.title='pwned'}__proto__"
HOSTILE = (SCRIPT, IMAGE, REVERSED, SEPARATORS, LONG, TEMPLATE)


def hostile_folder(folder):
    """One of everything, with hostile text wherever a reader takes text."""
    for place, text in enumerate(HOSTILE):
        config = {text: text, "block": 128}
        rows = {
            tokens: a_row(
                config=config, run=text, evidence="measured" if place % 2 else "modelled", ci_us=None
            )
            for tokens in LADDER
        }
        slug = f"{text[:40].replace('/', '_').replace(chr(0), '')}{place}"
        kernel = f"k{place}{text[:30].replace('/', '_').replace(chr(0), '')}"
        write_winners(folder, rows, device=slug, kernel=kernel, problem={text[:60]: text}, date=text)
        write_run(
            folder,
            _trials(text),
            run=f"run{place}{text[:40].replace('/', '_').replace(chr(0), '')}",
            device=text,
            kernel=text,
            finals=[Final((timed({text: 1}, 3.0, 3.0),), 0.0)],
            about={"default": {**DEFAULT, text: 1}},
        )
        write_rows(folder, _rows(text), device=slug, name=f"load{place}")
    write_a_profile(folder / "profile", layers=2, description=SCRIPT, names=(SCRIPT, REVERSED))
    (folder / f"bad{IMAGE.replace('/', '_')}" / "routing").mkdir(parents=True)
    (folder / f"bad{IMAGE.replace('/', '_')}" / "routing" / "a=<b>.json").write_text(SCRIPT)
    return folder


def _trials(text):
    trials = [a_trial({text: block, "block": block}, 2.0 + block / 64) for block in (1, 32, 64)]
    trials.append(a_trial({text: 2, "block": 2}, status=Status.CRASHED, reason=text))
    return [trial if place else _named(trial, text) for place, trial in enumerate(trials)]


def _named(trial, text):
    return type(trial)(**{**{name: getattr(trial, name) for name in trial.__slots__}, "trial": text})


def _rows(text):
    about = {"device": text, "model": text, "workload": text, "date": text, "versions": {text: text}}
    return [
        a_bench_row(text, 1, 10.0, **about),
        a_bench_row(f"fused {text}", 1, 9.0, **about),
        a_failed_run(text, 4, device=text, model=text, workload=text, reason=text),
    ]
