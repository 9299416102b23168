"""Write the model cards and README's figures from the reports: `python -m training.card` (`--check` only compares)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError
from training.summary import percent_interval

__all__ = ["card", "figures_table", "main", "overview"]

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: written by python -m training.card -->", "<!-- end of figures -->"
PHOTO_STUDY = ROOT / "training" / "studies" / "photos.json"
FERPLUS_URL = "https://arxiv.org/abs/1608.01041"
CALIBRATION_URL = "https://arxiv.org/abs/1706.04599"


def load(folder: Path, name: str, command: str) -> dict[str, Any]:
    """A JSON file of a checkpoint; raises CheckpointError naming the command that makes it."""
    if not (folder / name).is_file():
        raise CheckpointError(f"{folder.name} has no {name}; make it with: {command}")
    return json.loads((folder / name).read_text())


def report_of(folder: Path) -> dict[str, Any]:
    """The test-split report of an embedded checkpoint."""
    out = f"emotion_hub/checkpoints/{folder.name}/{REPORT_FILE}"
    return load(folder, REPORT_FILE, f"python -m training.evaluate --checkpoint {folder.name} --data DATA --split test --out {out}")


def figures_table() -> str:
    """Markdown: one row an embedded checkpoint."""
    reports = {name: report_of(folder) for name, folder in embedded_checkpoints().items()}
    with_ece = any("ece" in report for report in reports.values())
    rows = [
        f"| checkpoint | network | input | parameters | file | PrivateTest accuracy | without exact copies in other splits | macro F1 |{' ECE |' * with_ece}",
        f"|---|---|---|---|---|---|---|---|{'---|' * with_ece}",
    ]
    for name, folder in embedded_checkpoints().items():
        config, report = json.loads((folder / CONFIG_FILE).read_text()), reports[name]
        prep, clean = config["preprocess"], report["without_copies"]
        size = (folder / WEIGHTS_FILE).stat().st_size / 2**20
        rows.append(
            f"| `{name}` | `{config['model']}` | {prep['size']}×{prep['size']}×{prep['channels']} | {report['parameters']:,} | {size:.1f} MB "
            f"| {_accuracy(report)} | {_accuracy(clean)} | {report['macro_f1']:.4f} |{_ece(report) * with_ece}"
        )
    return "\n".join(rows)


def _accuracy(row: dict[str, Any]) -> str:
    """Accuracy with n, and the 95% interval where the report has one."""
    interval = f", {percent_interval(row['interval']['accuracy'])}" if "interval" in row else ""
    return f"{row['accuracy']:.2%} (n={row['n']:,}{interval})"


def _ece(report: dict[str, Any]) -> str:
    return f" {report['ece']:.3f} |" if "ece" in report else " – |"


def per_class_table(report: dict[str, Any]) -> str:
    """Markdown: precision, recall and F1 a label, and what it is most often taken for."""
    rows = ["| label | precision | recall | F1 | images | most often taken for |", "|---|---|---|---|---|---|"]
    for i, (label, row) in enumerate(report["per_class"].items()):
        counts = [0 if j == i else v for j, v in enumerate(report["confusion_matrix"][i])]
        worst = max(range(len(counts)), key=counts.__getitem__)
        share = counts[worst] / max(1, row["support"])
        rows.append(
            f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} | {report['labels'][worst]} ({share:.0%}) |"
        )
    return "\n".join(rows)


def training_text(folder: Path) -> str:
    """Markdown: each stage's recipe in a sentence, its epochs, hours and best validation accuracy."""
    training = load(folder, TRAINING_FILE, f"python -m training.package --run RUN --out emotion_hub/checkpoints/{folder.name}")
    lines = []
    for stage in training["stages"]:
        recipe, epochs, data = stage["recipe"], stage["epochs"], stage["data"]
        best = max(epochs, key=lambda e: e[f"val_{recipe.get('select', 'accuracy')}"])
        hours = sum(e["seconds"] for e in epochs) / 3600
        environment = stage.get("environment")
        machine = f" on {environment['device']} in {environment['dtype']}, {environment['threads']} threads" if environment else ""
        side = recipe["train_size"] or recipe["preprocess"]["size"]
        teachers = ", ".join(f"`{t['name']}` ({t['sha256'][:8]}…)" for t in stage.get("teachers") or [])
        taught = f" {recipe['distill']:.0%} of its targets are the answers of {teachers}." if teachers else ""
        lines.append(
            f"- `training/runs/{recipe['name']}.toml`: {recipe['model']} at {side} pixels, {len(epochs)} epochs of {data['kept']:,} images, "
            f"{recipe['optimizer']} at {recipe['lr']:g}, batch {recipe['batch_size']}, {hours:.1f} hours{machine}. "
            f"Best epoch {best['epoch']}: {best['val_accuracy']:.2%} on {data['validation']:,} validation images.{taught}"
        )
    data = training["stages"][-1]["data"]
    near = f"{data['near_copies_in_evaluation']:,} with a near copy there, " if data.get("near_copies_in_evaluation") else ""
    lines.append(
        f"- Of FER2013's {data['total']:,} training images {data['kept']:,} were used. Left out: {data['copies_in_evaluation']} whose exact copy stands in "
        f"validation or test, {near}{data['surplus_copies']} surplus copies, {data['conflicting']} copies under conflicting labels, "
        f"{data['constant']} of one flat colour."
    )
    if "calibration" in training:
        on = training["calibration"]["validation"]
        changes = ", ".join(f"{what} {on[key]['before']:.4f} to {on[key]['after']:.4f}" for key, what in (("nll", "log loss"), ("ece", "ECE")))
        lines.append(f"- Temperature {training['calibration']['temperature']:.3f}, fitted on {on['n']:,} validation images: {changes} there.")
    return "\n".join(lines)


def photo_text(name: str) -> str:
    """Markdown: what the checkpoint does on photos from elsewhere, through the detector."""
    if not PHOTO_STUDY.is_file():
        raise CheckpointError("there is no photo study; make it with: python -m training.photo_study --photos FOLDER --yunet FILE")
    study = json.loads(PHOTO_STUDY.read_text())
    lines = [
        f"{study['faces']} faces in {study['photos']} openly licensed photos that no network was trained on, expressions noted by eye before "
        "these checkpoints existed (a sample this small shows gross failures, not fine differences):",
        "",
        "| face detector | faces found | right |",
        "|---|---|---|",
    ]
    for detector, result in study["detectors"].items():
        if name not in result["right"]:
            raise CheckpointError(f"the photo study does not know {name}; make it again with: python -m training.photo_study --photos FOLDER --yunet FILE")
        right = result["right"][name]
        lines.append(f"| {detector} | {result['found']} of {study['faces']} | {right} of {result['found']} |")
    lines += ["", "The cascade's looks and thresholds were chosen on these photos; elsewhere it will find fewer."]
    return "\n".join(lines)


def calibration_text(reports: dict[str, dict[str, Any]]) -> str:
    """A sentence on how far the probabilities can be taken at their word, a checkpoint each where they differ."""
    if not any("temperature" in report for report in reports.values()):
        return "the probabilities are not calibrated."
    parts = []
    for name, report in reports.items():
        error = f" (expected calibration error on PrivateTest {report['ece']:.3f})" if "ece" in report else ""
        how = f"divided by the temperature {report['temperature']:.3f}, fitted on validation" if "temperature" in report else "not calibrated"
        parts.append(f"`{name}`'s logits are {how}{error}")
    return (
        f"{'; '.join(parts)}. A temperature ([Guo et al. 2017]({CALIBRATION_URL})) makes probabilities right on average over faces like FER2013's, "
        "not for a single face or for other pictures."
    )


def slices_text(reports: dict[str, dict[str, Any]]) -> str:
    """Which groups were measured apart; FER2013 itself names none."""
    columns = sorted({column for report in reports.values() for column in report.get("slices", {})})
    return f"slices were measured by {', '.join(columns)} (report.json)" if columns else "no group slices were measured here"


def limits(reports: dict[str, dict[str, Any]]) -> str:
    """The sections that hold for every card, as these reports have it."""
    return f"""## Limits
- It names the *expression* a face shows, as FER2013's annotators would have named it. It does not know what a person feels.
- FER2013's labels are noisy. Ten FER+ voters ([Barsoum et al. 2016]({FERPLUS_URL})) gave 23% of its images no majority label.
- FER2013 was collected by web search; its mix of ages, skin tones and cultures is unknown and {slices_text(reports)}.
- 48 gray pixels hold little: small, turned, covered or dark faces fail. What looks confident may be wrong; {calibration_text(reports)}

## Intended use
Teaching, research on low-resolution expression recognition, comparing pipelines and explanations.

## Out of scope
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)): no student engagement scores, no
workplace monitoring. Not for hiring, policing, border control, health, insurance or any other decision about a person, and not on faces
whose owners did not agree.

## Licence
Code and weights: MIT, but for `upscale224`: it was fine-tuned from the ImageNet weights of google-coral's MobileNetV2 and keeps their
Apache-2.0 licence. The training data's terms are its own: FER2013 was released for the ICML 2013 contest for research and education;
the copyright of its pictures is not cleared, and none of them is in this repository.

## Citation
Goodfellow et al. 2013, *Challenges in Representation Learning: A report on three machine learning contests*, arXiv:1307.0414.
"""


def apache(folder: Path) -> bool:
    """Whether the checkpoint started from the MobileNets' ImageNet weights, which are under Apache-2.0."""
    stages = load(folder, TRAINING_FILE, f"python -m training.package --run RUN --out emotion_hub/checkpoints/{folder.name}")["stages"]
    return any(stage["recipe"]["init"] not in (None, "checkpoint") and stage["recipe"]["model"].startswith("mobilenet") for stage in stages)


def front_matter(name: str, folder: Path, report: dict[str, Any]) -> str:
    """The metadata block the Hub reads. What started from Apache-2.0 weights keeps their licence."""
    licence = "apache-2.0" if apache(folder) else "mit"
    lines = [
        "---",
        f"license: {licence}",
        "library_name: emotion_hub",
        "pipeline_tag: image-classification",
        "tags: [facial-expression-recognition, emotion-recognition, fer2013, pytorch_model_hub_mixin, model_hub_mixin]",
        "model-index:",
        f"- name: emotion_hub {name}",
        "  results:",
        "  - task: {type: image-classification, name: Facial expression recognition}",
        "    dataset: {type: fer2013, name: FER2013, split: test}",
        "    metrics:",
        f"    - {{type: accuracy, value: {report['accuracy']:.4f}}}",
        f"    - {{type: f1, name: Macro F1, value: {report['macro_f1']:.4f}, args: {{average: macro}}}}",
        "---",
    ]
    return "\n".join(lines)


def body(name: str, folder: Path, level: str) -> str:
    """One checkpoint's sections, headings starting at `level`."""
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    clean, prep = report["without_copies"], config["preprocess"]
    upscaled = f" and upscaled to {prep['size']} with {prep['upsample']}" if prep["size"] != prep["face_size"] else ""
    measured = f"**accuracy {report['accuracy']:.2%}**, macro F1 {report['macro_f1']:.4f}, log loss {report['log_loss']:.4f}, n = {report['n']:,}"
    others = "".join(f"{line}\n" for line in _readings(report))
    return f"""{level} Input
{prep["size"]}×{prep["size"]} pixels, {prep["channels"]} channel(s), mean {prep["mean"]}, std {prep["std"]}. Every face is made gray, brought to
{prep["face_size"]} pixels a side with {prep["resample"]}{upscaled}: the settings are in `config.json` and `emotion_hub` applies them.
Outputs: {", ".join(f"{i} {label}" for i, label in enumerate(config["labels"]))}.

{level} Measured
PrivateTest (`test`), read once for this checkpoint: {measured}.
Without the test images whose exact copy stands in another split: accuracy {clean["accuracy"]:.2%}, macro F1 {clean["macro_f1"]:.4f}, n = {clean["n"]:,}.
{others}All figures are in `report.json`, written by `training.evaluate` for the weights with SHA-256 `{report["sha256"][:16]}…`.

{per_class_table(report)}

{level} On faces from elsewhere
{photo_text(name)}

{level} Training
{training_text(folder)}
"""


def _readings(report: dict[str, Any]) -> list[str]:
    """A line for each further reading that the report has: intervals, near copies, calibration, ten crops, FER+."""
    lines = []
    if "interval" in report:
        low, high = report["interval"]["macro_f1"]
        spread = f"accuracy {percent_interval(report['interval']['accuracy'])}, macro F1 {low:.3f} to {high:.3f}"
        lines.append(f"95% intervals (bootstrap over the images): {spread}.")
    if "without_near_copies" in report:
        row = report["without_near_copies"]
        lines.append(f"Without those with a near copy in train (correlation {row['threshold']:g} or more) as well: {_accuracy(row)}.")
    if "ece" in report:
        scaled = f", with the temperature {report['temperature']:.3f} in the weights" if "temperature" in report else ", no temperature in the weights"
        lines.append(
            f"Expected calibration error {report['ece']:.4f}{scaled}; the label is among the two most probable {report['top2_accuracy']:.2%} of the time."
        )
    if "ten_crop" in report:
        lines.append(f"Ten crops of {report['ten_crop']['share']:g} of the side, averaged: {_accuracy(report['ten_crop'])}.")
    if "ferplus" in report:
        lines.append(f"Against FER+'s majority labels, where there is one: {_accuracy(report['ferplus'])}, macro F1 {report['ferplus']['macro_f1']:.4f}.")
    return lines


def card(name: str) -> str:
    """The README.md of one embedded checkpoint."""
    folder = embedded_checkpoints()[name]
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    use = f'```python\nfrom emotion_hub import EmotionPredictor\n\nEmotionPredictor.from_pretrained("{name}").predict("photo.jpg")\n```'
    what = f"`{config['model']}`, {report['parameters']:,} parameters, float16 safetensors, for the package emotion_hub."
    return f"{front_matter(name, folder, report)}\n\n# emotion_hub {name}\n\n{what}\n\n{use}\n\n{body(name, folder, '##')}\n{limits({name: report})}"


def overview() -> str:
    """`model_card.md`: all embedded checkpoints in one document."""
    parts = ["# Model card: the checkpoints inside emotion_hub", "", figures_table(), ""]
    for name, folder in embedded_checkpoints().items():
        parts += [f"## {name}", "", body(name, folder, "###")]
    return "\n".join([*parts, limits({name: report_of(folder) for name, folder in embedded_checkpoints().items()})])


def readme() -> str:
    """README.md with its figures replaced."""
    text = (ROOT / "README.md").read_text()
    if BEGIN not in text or END not in text:
        raise CheckpointError(f"README.md lacks the lines {BEGIN!r} and {END!r} between which the figures stand")
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{figures_table()}\n{END}{rest.split(END, 1)[1]}"


def main(argv: list[str] | None = None) -> list[Path]:
    parser = argparse.ArgumentParser(prog="training.card", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    args = parser.parse_args(argv)
    texts = {folder / "README.md": card(name) for name, folder in embedded_checkpoints().items()}
    texts |= {ROOT / "model_card.md": overview(), ROOT / "README.md": readme()}
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if args.check else 'wrote'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.write_text(texts[path])
    if args.check and stale:
        sys.exit(1)
    return stale


if __name__ == "__main__":
    main()
