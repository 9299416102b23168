"""Study: what upscaling buys: two networks that differ in input alone.

    python -m training.studies.pair --data D --small RUN_OR_CHECKPOINT --large RUN_OR_CHECKPOINT

Both are one architecture with the same number of weights, start and recipe; one takes the 48-pixel face, the other its
224-pixel upscale. Measures accuracy with a paired test, time, memory and size, and writes them as JSON and Markdown.
README and the Compare tab show the conclusion.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import PAIR_FILE, WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import InputError
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import SPLITS, FaceSplit, load_split
from training.data.files import write_json
from training.evaluation.ensemble import cpu_milliseconds
from training.evaluation.machine import hardware
from training.evaluation.metrics import brief, expected_calibration_error, negative_log_likelihood
from training.evaluation.paired import PairedFigures, paired
from training.evaluation.predictions import face_probs
from training.evaluation.summary import percent_interval
from training.studies.outcome import write_study

__all__ = ["conclusion", "main", "peak_memory", "shown", "study", "table"]

#: Faces whose time is measured.
TIMED = 100

#: Below this p value of McNemar's test a difference in accuracy is stated as one.
SIGNIFICANT = 0.05

#: Prints the peak resident memory in MB of a process that loads a checkpoint and predicts one face at a time.
_PROBE = """
import sys
from pathlib import Path
from PIL import Image
from emotion_hub.predictor import EmotionPredictor
predictor = EmotionPredictor.from_pretrained(sys.argv[1], backend="onnx", threads=1)
for level in range(20):
    predictor.predict_faces([Image.new("L", (48, 48), 12 * level)])
line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(line.split()[1]) / 1024)
"""


def peak_memory(checkpoint: str) -> float:
    """Peak resident memory in MB of a new process that predicts with the checkpoint on ONNX Runtime, one thread.

    Raises InputError where the system does not report it (it is read from Linux's /proc).
    """
    if not Path("/proc/self/status").is_file():
        raise InputError("peak memory is read from /proc/self/status, which this system does not have; use Linux")
    done = subprocess.run([sys.executable, "-c", _PROBE, checkpoint], capture_output=True, text=True, check=True)
    return float(done.stdout)


def study(checkpoints: Sequence[str], data: str, splits: Sequence[str]) -> dict[str, Any]:
    """Figures of both checkpoints, the smaller input first, and the paired comparison per split."""
    sides = [EmotionPredictor.from_pretrained(name, backend="onnx", threads=1) for name in checkpoints]
    small, large = sides
    if small.labels.labels != large.labels.labels or small.backend.num_parameters != large.backend.num_parameters:
        raise InputError(
            f"{small.name} and {large.name} have other labels or numbers of weights; a pair differs in its input alone"
        )
    report: dict[str, Any] = {"data": Path(data).name, "sides": {}, "splits": {}}
    loaded = {split: load_split(data, split, small.labels) for split in splits}
    faces = loaded[splits[0]].faces[:TIMED]
    for name, side in zip(checkpoints, sides, strict=True):
        weights = resolve_file(name, WEIGHTS_FILE)
        report["sides"][side.name] = {
            "sha256": file_hash(weights),
            "bytes": weights.stat().st_size,
            "parameters": side.backend.num_parameters,
            "input": [side.preprocessor.config.size, side.preprocessor.config.channels],
            "memory_mb": peak_memory(name),
        }
    for name, milliseconds in cpu_milliseconds(sides, faces).items():
        report["sides"][name]["cpu_ms"] = milliseconds
    for split in splits:
        report["splits"][split] = _compared(small, large, loaded[split])
    return report


def _compared(small: EmotionPredictor, large: EmotionPredictor, split: FaceSplit) -> dict[str, Any]:
    probs = {side.name: face_probs(side, split.faces, what=split.name) for side in (small, large)}
    right = [each.argmax(1) == split.labels for each in probs.values()]
    figures = {
        name: {
            **brief(split.labels, each),
            "log_loss": negative_log_likelihood(split.labels, each),
            "ece": expected_calibration_error(split.labels, each),
        }
        for name, each in probs.items()
    }
    return {"sides": figures, "paired": paired(*right)}


def conclusion(report: dict[str, Any], split: str = "test") -> str:
    """One sentence that states what upscaling buys on a split, in accuracy, time and memory."""
    (small, first), (large, second) = report["sides"].items()
    result: PairedFigures = report["splits"][split]["paired"]
    points, (low, high) = 100 * result["difference"], (100 * end for end in result["interval"])
    times = second["cpu_ms"] / first["cpu_ms"]
    found = f"{points:+.2f} points of accuracy (95% interval {low:+.2f} to {high:+.2f}, p = {result['p_value']:.2g})"
    verdict = "no difference that the test can show"
    if result["p_value"] < SIGNIFICANT:
        verdict = "a gain" if points > 0 else "a loss"
    return (
        f"Upscaling the 48-pixel face to {second['input'][0]} pixels brings {verdict}: {found} on {result['n']:,} "
        f"faces, at {times:.1f} times the time per face and {second['memory_mb'] / first['memory_mb']:.1f} times the "
        f"memory (`{large}` against `{small}`, the same network, start and recipe)."
    )


def shown(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of the test split as `emotion_hub.checkpoints.pair_figures` returns them."""
    result = report["splits"]["test"]
    sides = {
        name: {
            **{key: side[key] for key in ("input", "parameters", "bytes", "cpu_ms", "memory_mb")},
            "accuracy": result["sides"][name]["accuracy"],
            "macro_f1": result["sides"][name]["macro_f1"],
            "interval": result["sides"][name]["interval"]["accuracy"],
        }
        for name, side in report["sides"].items()
    }
    return {"sides": sides, "paired": result["paired"], "conclusion": conclusion(report)}


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# Does upscaling help?",
        "",
        "Two checkpoints of one network with the same start and recipe; the input is the only difference. Written by "
        "`python -m training.studies.pair`. ms: CPU time of preprocessing and network for one face on one thread of "
        "ONNX Runtime; memory: peak of a process that predicts.",
    ]
    for split, result in report["splits"].items():
        lines += [
            "",
            f"## {split}",
            "",
            "| checkpoint | input | parameters | file | accuracy (95% interval) | macro F1 | log loss | ECE | ms | "
            "memory |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for name, row in result["sides"].items():
            side = report["sides"][name]
            size, channels = side["input"]
            lines.append(
                f"| `{name}` | {size}×{size}×{channels} | {side['parameters']:,} | {side['bytes'] / 2**20:.1f} MB | "
                f"{row['accuracy']:.2%} ({percent_interval(row['interval']['accuracy'])}) | {row['macro_f1']:.4f} | "
                f"{row['log_loss']:.4f} | {row['ece']:.3f} | {side['cpu_ms']:.1f} | {side['memory_mb']:.0f} MB |"
            )
        counts = result["paired"]
        first, second = report["sides"]
        lines += [
            "",
            f"Only `{first}` is right for {counts['only_first']} faces, only `{second}` for {counts['only_second']} "
            f"(McNemar's exact test: p = {counts['p_value']:.2g}).",
            "",
            conclusion(report, split),
        ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure the pair, write and print the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.pair", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set the checkpoints were trained on")
    parser.add_argument("--small", default="mobilenetv1_48", help="checkpoint of the 48-pixel input")
    parser.add_argument("--large", default="mobilenetv1_224", help="checkpoint of the upscaled input")
    parser.add_argument(
        "--split", action="append", choices=SPLITS, help="may be repeated (default: validation and test)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".json"),
        help="where to write the figures; the page is written beside them",
    )
    parser.add_argument(
        "--package", action="store_true", help="also write the figures that README and the demo's Compare tab show"
    )
    args = parser.parse_args(argv)
    report = study((args.small, args.large), args.data, args.split or ("validation", "test"))
    report["machine"] = hardware()
    if args.package and "test" in report["splits"]:
        write_json(PAIR_FILE, shown(report))
    return write_study(report, table(report), args.out)


if __name__ == "__main__":
    main()
