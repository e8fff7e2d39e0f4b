"""Journals of made-up runs, as a sweep leaves them."""

from __future__ import annotations

import dataclasses
import json

from workbench.trials.trial import Evidence, Stage, Status, Trial

DEFAULT = {"warps": 4, "block": 64, "mode": "a"}


def trial(config=None, time_us=None, *, tokens=1, status=Status.OK, reason=None, **others):
    config = {**DEFAULT, **(config or {})}
    return Trial(
        trial=json.dumps([config, tokens]),
        problem={"dtype": "bf16", "tokens": tokens},
        config=config,
        stage=Stage.MEASURE,
        status=status,
        reason=reason,
        time_us=time_us,
        evidence=others.pop("evidence", Evidence.MEASURED if time_us else Evidence.NONE),
        **others,
    )


def failed(config=None, *, status=Status.PRUNED, reason="needs 9 bytes", tokens=1):
    return trial(config, tokens=tokens, status=status, reason=reason)


def write_run(folder, trials, *, default=DEFAULT, **sweep):
    folder.mkdir(parents=True)
    about = {"sweep": {"kernel": "mine", "device": "x", **sweep}, "device": {"device_name": "NVIDIA B200"}}
    about |= {"default": default} if default else {}
    (folder / "sweep.json").write_text(json.dumps(about))
    lines = (json.dumps(dataclasses.asdict(each)) for each in trials)
    (folder / "trials.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def grid(time):
    """Every config of a small space, with times by a function of it."""
    configs = [
        {"warps": warps, "block": block, "mode": mode}
        for warps in (1, 2, 4)
        for block in (32, 64, 128, 256)
        for mode in ("a", "b")
    ]
    return [trial(config, time(config)) for config in configs]
