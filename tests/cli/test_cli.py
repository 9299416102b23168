"""Command line: output, exit statuses, aliases, help and completion."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import emotion_hub
from emotion_hub.__main__ import main
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.cli.completion import SHELLS
from emotion_hub.cli.main import COMMANDS, make_parser
from emotion_hub.cli.predict import PredictionLayout
from emotion_hub.cli.tables import Writer, output
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models import list_models
from tests.tolerances import PROBS, assert_same_probs


def _gray_face(image: Image.Image, path: Path) -> Path:
    """A face crop of 48 pixels per side, which is used whole, without a detector."""
    image.convert("L").resize((48, 48)).save(path)
    return path


@pytest.fixture
def face(face_image, tmp_path) -> Path:
    return _gray_face(face_image, tmp_path / "face.png")


@pytest.fixture
def other(face_image, tmp_path) -> Path:
    return _gray_face(face_image.rotate(90), tmp_path / "other.png")


@pytest.fixture
def unreadable(tmp_path) -> Path:
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    return path


def _without_warnings(printed: str) -> list[str]:
    """The lines of a table without those of the faces' warnings: a drawn face can look covered."""
    return [line for line in printed.splitlines() if not re.search(r"\s{2,}warning \w+ \(face", line)]


def _json(capsys, argv: list, status: int = 0):
    assert main([str(a) for a in argv]) == status
    return json.loads(capsys.readouterr().out)


def test_predict_prints_a_json_list_of_images_and_faces(capsys, face):
    [row] = _json(capsys, ["predict", face, "--json"])
    assert list(row) == ["image", "faces"]
    assert row["image"] == str(face)
    [prediction] = row["faces"]
    assert list(prediction["probs"]) == list(FER2013.labels)
    assert prediction["label"] == max(prediction["probs"], key=prediction["probs"].get)
    assert (prediction["bbox"], prediction["model"], prediction["detector"]) == ([0, 0, 48, 48], "native48", None)
    values = [json.dumps(value) for value in prediction.values() if value is not None]
    assert len(values) == len(set(values)), "no field repeats another"


def test_predict_prints_the_probabilities_of_the_library(capsys, face):
    [row] = _json(capsys, ["predict", face, "--json"])
    assert_same_probs(
        row["faces"][0]["probs"], emotion_hub.EmotionPredictor.from_pretrained("native48").predict(face)[0].probs
    )


def test_predict_prints_a_table_with_a_row_per_face(capsys, face, other):
    assert main(["predict", str(face), str(other)]) == 0
    printed = capsys.readouterr().out
    assert "\033" not in printed, "a pipe gets no colours"
    header, *rows, note = _without_warnings(printed)
    titles = ["IMAGE", "FACE", "LABEL", "PROBABILITY", "RUNNER-UP", "BOX", "PREDICTION SET"]
    assert re.split(r"\s{2,}", header) == titles
    assert note == "PREDICTION SET: in 9 of 10 faces of the test set, the true label is among these."
    assert len(rows) == 2
    for name, row in zip(("face.png", "other.png"), rows, strict=True):
        cells = re.split(r"\s{2,}", row)
        assert cells[0].endswith(name)
        assert cells[1] == "1"
        assert cells[2] in FER2013.labels
        assert re.fullmatch(r"\d+\.\d%", cells[3])
        assert cells[4].split()[0] in FER2013.labels
        assert cells[5] == "0,0 48,48"
        assert cells[6].split(", ")[0] == cells[2]
    assert len({row.index("0,0 48,48") for row in rows} | {header.index("BOX")}) == 1, "columns are aligned"


def test_a_terminal_gets_a_bold_header_unless_no_color_is_set(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def header() -> str:
        file = Terminal()
        Writer(file, "table", PredictionLayout(lambda: None), ["a.png"]).add("a.png", [])
        return file.getvalue().splitlines()[0]

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert header().startswith("\033[1mIMAGE")
    monkeypatch.setenv("NO_COLOR", "1")
    assert header().startswith("IMAGE")


def test_a_folder_and_a_pattern_expand_to_their_pictures_sorted_by_name(capsys, face, other, tmp_path):
    deep = tmp_path / "album" / "deep"
    deep.mkdir(parents=True)
    for name in ("b.png", "a.png", "notes.txt"):
        (deep / name).write_bytes(face.read_bytes())
    (tmp_path / "album" / "c[1].png").write_bytes(other.read_bytes())
    album = tmp_path / "album"
    expected = [str(album / "c[1].png"), str(deep / "a.png"), str(deep / "b.png")]
    assert [row["image"] for row in _json(capsys, ["predict", album, "--json"])] == expected
    assert [row["image"] for row in _json(capsys, ["predict", album / "**" / "*.png", "--json"])] == expected
    assert [row["image"] for row in _json(capsys, ["predict", album / "c[1].png", "--json"])] == expected[:1]


@pytest.mark.parametrize(("name", "why"), [("empty", "has no picture"), ("*.jpg", "no file matches")])
def test_a_folder_or_pattern_without_a_picture_exits_with_2(capsys, tmp_path, name, why):
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(tmp_path / name)]) == 2
    assert why in capsys.readouterr().err


def test_csv_has_one_row_per_face_with_the_values_of_json(capsys, face, unreadable, tmp_path):
    flat = tmp_path / "flat.png"
    Image.new("RGB", (200, 150), "gray").save(flat)
    assert main(["predict", str(face), str(flat), str(unreadable), "--format", "csv", "--labels", "six_class"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["image"], row["face"]) for row in rows] == [(str(face), "1"), (str(flat), ""), (str(unreadable), "")]
    assert "notes.png" in rows[2]["error"]
    [prediction] = _json(capsys, ["predict", face, "--json", "--labels", "six_class"])[0]["faces"]
    assert {label: float(rows[0][f"prob_{label}"]) for label in SIX_CLASS.labels} == pytest.approx(
        prediction["probs"], abs=PROBS
    )
    assert float(rows[0]["left_out_disgust"]) == pytest.approx(prediction["left_out"]["disgust"], abs=PROBS)
    assert rows[0]["label"] == prediction["label"]
    assert [rows[0][side] for side in ("left", "top", "right", "bottom")] == ["0", "0", "48", "48"]


def test_csv_and_json_have_the_prediction_set_of_the_library(capsys, face):
    predictor = emotion_hub.EmotionPredictor.from_pretrained("native48", labels="six_class")
    expected = predictor.predict(face)[0].prediction_set
    call = ["predict", str(face), "--labels", "six_class"]
    assert _json(capsys, [*call, "--json"])[0]["faces"][0]["prediction_set"] == list(expected)
    assert main([*call, "--format", "csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert tuple(row["prediction_set"].split("|")) == expected
    assert main(["compare", *call[1:], "--format", "csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert tuple(row["native48_prediction_set"].split("|")) == expected
    assert row["upscale224_prediction_set"]


def test_a_checkpoint_without_prediction_sets_has_an_empty_column_and_no_remark(capsys, face, tmp_path):
    folder = shutil.copytree(embedded_checkpoints()["emotion_cnn"], tmp_path / "older")
    values = json.loads((folder / "config.json").read_text())
    del values["prediction_sets"]
    (folder / "config.json").write_text(json.dumps(values))
    assert main(["predict", str(face), "--model", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert re.split(r"\s{2,}", printed.splitlines()[1])[6] == "-"
    assert "PREDICTION SET:" not in printed
    assert main(["predict", str(face), "--model", str(folder), "--format", "csv"]) == 0
    [values] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert values["prediction_set"] == ""
    assert "prediction_set" not in _json(capsys, ["predict", face, "--model", folder, "--json"])[0]["faces"][0]


def test_ndjson_has_one_json_object_per_line(capsys, face, other, unreadable):
    assert main(["predict", str(face), str(unreadable), str(other), "--format", "ndjson"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [str(face), str(unreadable), str(other)]
    assert [len(row["faces"]) for row in rows] == [1, 0, 1]


def test_a_table_over_six_classes_names_the_label_left_out(capsys, face):
    assert main(["predict", str(face), "--labels", "six_class"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Without disgust: the other probabilities are renormalised to 1."
    assert main(["predict", str(face), "--labels", "bored"]) == 2
    assert re.search(r"error: .*'bored'.*angry", capsys.readouterr().err), "the label and the known ones are named"


def test_out_writes_a_complete_file_or_none(capsys, face, tmp_path):
    out = tmp_path / "faces.json"
    assert main(["predict", str(face), "--json", "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert len(json.loads(out.read_text())) == 1
    before = out.read_bytes()
    stack = contextlib.ExitStack()
    stack.enter_context(output(str(out))).write("half")
    assert stack.__exit__(RuntimeError, RuntimeError(), None) is False, "the error is raised further"
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.png", "faces.json"]
    assert main(["predict", str(face), "--out", str(tmp_path / "gone" / "x.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_annotate_writes_each_picture_with_its_boxes(capsys, face_image, tmp_path):
    photo = Image.new("RGB", (160, 120), "gray")
    (tmp_path / "two").mkdir()
    for path in (tmp_path / "photo.png", tmp_path / "two" / "photo.png"):
        photo.save(path)
    boxed = tmp_path / "boxed"
    names = [str(tmp_path / "photo.png"), str(tmp_path / "two" / "photo.png")]
    for command in ("predict", "compare"):
        assert main([command, *names, "--no-detect", "--annotate", str(boxed)]) == 0
        assert sorted(path.name for path in boxed.iterdir()) == ["photo-2.png", "photo.png"]
        drawn = Image.open(boxed / "photo.png").convert("RGB")
        assert drawn.size == photo.size
        assert len(drawn.getcolors(1 << 16)) > 1, "something is drawn"
        assert drawn.getpixel((80, 100)) == photo.getpixel((80, 100)), "pixels inside the box are unchanged"
    assert main(["predict", *names, "--no-detect", "--annotate", names[0]]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_several_images_keep_their_order_and_their_own_predictions(capsys, face, other):
    rows = _json(capsys, ["predict", other, face, other, "--json"])
    assert [row["image"] for row in rows] == [str(other), str(face), str(other)]
    probs = [row["faces"][0]["probs"] for row in rows]
    assert_same_probs(probs[0], probs[2])
    assert max(abs(probs[0][label] - probs[1][label]) for label in probs[0]) > 10 * PROBS


def test_the_model_is_an_embedded_name_or_a_folder(capsys, face):
    [by_name] = _json(capsys, ["predict", face, "--json", "--model", "upscale224"])
    [by_folder] = _json(capsys, ["predict", face, "--json", "--model", embedded_checkpoints()["upscale224"]])
    assert by_name["faces"][0]["model"] == "upscale224"
    assert_same_probs(by_name["faces"][0]["probs"], by_folder["faces"][0]["probs"])


@pytest.mark.parametrize("command", ["predict", "compare"])
def test_an_unreadable_image_is_reported_and_the_others_are_processed(capsys, command, face, unreadable):
    rows = _json(capsys, [command, unreadable, face, "--json"], status=1)
    assert rows[0]["faces"] == []
    assert "notes.png" in rows[0]["error"]
    assert len(rows[1]["faces"]) == 1
    assert "error" not in rows[1]


def test_an_unreadable_image_is_an_error_line_on_standard_error(capsys, face, unreadable):
    assert main(["predict", "missing.png", str(unreadable), str(face)]) == 1
    printed = capsys.readouterr()
    assert len(_without_warnings(printed.out)) == 3, "header, row and the remark on prediction sets"
    first, second = printed.err.splitlines()
    assert first.startswith("error: missing.png: ")
    assert second.startswith(f"error: {unreadable}: ")


def test_a_dash_reads_standard_input(capsys, monkeypatch, face):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(face.read_bytes())))
    [row] = _json(capsys, ["predict", "-", "--json"])
    assert row["image"] == "-"
    assert_same_probs(row["faces"][0]["probs"], _json(capsys, ["predict", face, "--json"])[0]["faces"][0]["probs"])


def test_no_detect_takes_the_image_as_the_face(capsys, tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (200, 150), "gray").save(path)
    assert _json(capsys, ["predict", path, "--json"])[0]["faces"] == []
    [prediction] = _json(capsys, ["predict", path, "--no-detect", "--json"])[0]["faces"]
    assert prediction["bbox"] == [0, 0, 200, 150]
    [pair] = _json(capsys, ["compare", path, "--no-detect", "--json"])[0]["faces"]
    assert pair["bbox"] == [0, 0, 200, 150]


def test_an_image_without_a_face_is_no_error(capsys, tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (200, 150), "gray").save(path)
    assert main(["predict", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("no face found")


def test_compare_prints_the_predictions_of_both_models(capsys, face):
    [pair] = _json(capsys, ["compare", face, "--json"])[0]["faces"]
    assert (pair["native48"]["model"], pair["upscale224"]["model"]) == ("native48", "upscale224")
    assert pair["agree"] == (pair["native48"]["label"] == pair["upscale224"]["label"])
    assert main(["compare", str(face)]) == 0
    header, line = _without_warnings(capsys.readouterr().out)
    assert line[header.index("NATIVE48") :].startswith(pair["native48"]["label"])
    assert line[header.index("UPSCALE224") :].startswith(pair["upscale224"]["label"])
    assert ("agree" if pair["agree"] else "differ") in line
    assert main(["compare", str(face), "--format", "csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    for side in ("native48", "upscale224"):
        assert row[f"{side}_label"] == pair[side]["label"]
        assert float(row[f"{side}_prob_happy"]) == pytest.approx(pair[side]["probs"]["happy"], abs=PROBS)


def test_an_unknown_model_exits_with_2_and_lists_the_known_models(capsys, face):
    assert main(["predict", str(face), "--model", "native84"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "'native84'; did you mean 'native48'?" in printed.err
    assert "native48, upscale224" in printed.err


def test_a_damaged_checkpoint_exits_with_2(capsys, face, tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["predict", str(face), "--model", str(tmp_path)]) == 2
    assert "not JSON" in capsys.readouterr().err


def test_predict_and_compare_run_on_onnx_runtime_and_import_torch_only_for_its_backend(face):
    code = (
        "import sys; from emotion_hub.__main__ import main\n"
        f"for command in ('predict', 'compare'): assert main([command, {str(face)!r}, '--no-detect']) == 0\n"
        "assert 'onnxruntime' in sys.modules and 'torch' not in sys.modules and 'cv2' not in sys.modules\n"
        f"assert main(['predict', {str(face)!r}, '--no-detect', '--backend', 'torch']) == 0\n"
        "assert 'torch' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "argv", [[], ["predict"], ["compare"], ["guess", "x.png"], ["predict", "x.png", "--strict"], ["models", "x"]]
)
def test_invalid_arguments_exit_with_2_and_print_the_usage(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: python -m emotion_hub" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["predict", "x.png", "--modle", "y"], "did you mean --model for --modle?"),
        (["predct", "x.png"], "did you mean predict for predct?"),
        (["predict", "x.png", "--backend", "onxx"], "did you mean onnx for onxx?"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(capsys, argv, hint):
    with pytest.raises(SystemExit):
        main(argv)
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_has_examples_that_parse(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "exit status: 0" in printed
    for example in COMMANDS[command].EXAMPLES:
        assert f"python -m emotion_hub {example}" in printed
        words = list(itertools.takewhile(lambda word: word not in ("<", ">", ">>"), shlex.split(example)))
        assert make_parser().parse_args(words).run is COMMANDS[command].run


#: (arguments with old names, the same with present names).
OLD_NAMES = [
    (["score", "photos", "--out", "r.csv"], ["batch", "photos", "--out", "r.csv"]),
    (["batch", "photos", "--out", "r.csv", "--whole"], ["batch", "photos", "--out", "r.csv", "--no-detect"]),
    (["batch", "photos", "--out", "r.csv", "--json-summary"], ["batch", "photos", "--out", "r.csv", "--json"]),
    (["predict", "x.png", "--whole"], ["predict", "x.png", "--no-detect"]),
    (["compare", "x.png", "--whole"], ["compare", "x.png", "--no-detect"]),
    (["video", "x.mp4", "--whole"], ["video", "x.mp4", "--no-detect"]),
    (["explain", "x.png", "--scoring", "full"], ["explain", "x.png", "--metrics", "full"]),
    (["export", "native48", "--storage", "float16"], ["export", "native48", "--dtype", "float16"]),
]


@pytest.mark.parametrize(("old", "present"), OLD_NAMES, ids=[" ".join(old) for old, _ in OLD_NAMES])
def test_old_names_of_commands_and_options_work_and_are_not_shown(capsys, old, present):
    parsed = make_parser().parse_args(old)
    assert vars(parsed) == vars(make_parser().parse_args(present))
    [old_name] = set(old) - set(present)
    for command in ([], [present[0]]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        assert old_name not in re.findall(r"[\w-]+", capsys.readouterr().out)
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out.replace("-l ", "--")
        assert old_name not in re.findall(r"[\w-]+", script)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["predict", "x.png", "--whole"], "whole", True),
        (["predict", "x.png"], "whole", False),
        (["explain", "x.png", "--scoring", "full"], "metrics", "full"),
        (["export", "native48", "--storage", "int8"], "storage", "int8"),
        (["export", "native48"], "storage", "float32"),
    ],
)
def test_old_option_names_set_the_present_option(arguments, name, value):
    assert getattr(make_parser().parse_args(arguments), name) == value


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_names_every_command_and_option(capsys, shell):
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    for name in COMMANDS:
        assert name in printed
    for option in ("annotate", "labels", "api-key"):
        assert option in printed


def _completions(capsys, line: str) -> list[str]:
    assert main(["completion", "bash"]) == 0
    words = line.split(" ")
    variables = f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}"
    call = f'{variables}; _emotion_hub; echo "${{COMPREPLY[@]}}"'
    script = f"{capsys.readouterr().out}\n{call}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_their_values(capsys):
    assert _completions(capsys, "emotion-hub pre") == ["predict"]
    assert _completions(capsys, "emotion-hub predict --fo") == ["--format"]
    assert _completions(capsys, "emotion-hub predict --backend on") == ["onnx", "onnx-int8"]
    assert _completions(capsys, "emotion-hub completion f") == ["fish"]
    assert _completions(capsys, "emotion-hub predict pho") == [], "the shell completes file names"


@pytest.mark.parametrize(
    ("argv", "unneeded"),
    [
        (["--help"], {"numpy", "PIL", "tqdm", "huggingface_hub"}),
        (["batch", "--help"], {"numpy", "PIL", "tqdm", "huggingface_hub"}),
        (["models"], {"numpy", "PIL"}),
        (["predict", "missing.jpg"], set()),
    ],
)
def test_commands_that_need_no_network_import_no_framework(argv, unneeded):
    unneeded = {"torch", "onnxruntime", "timm", "gradio"} | unneeded
    code = (
        "import sys; from emotion_hub.__main__ import main\n"
        f"try: main({argv!r})\nexcept SystemExit: pass\n"
        f"assert not {unneeded!r} & set(sys.modules), {unneeded!r} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_ends_without_an_error_message(face):
    command = f"{sys.executable} -m emotion_hub predict {' '.join([str(face)] * 40)} --format ndjson | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_models_lists_the_checkpoints_and_the_networks(capsys):
    assert "networks" not in _json(capsys, ["models", "--json"])
    values = _json(capsys, ["models", "--networks", "--json"])
    assert [row["name"] for row in values["checkpoints"]] == list(embedded_checkpoints())
    assert {"native48", "upscale224"} <= set(embedded_checkpoints())
    assert values["networks"] == list_models()
    for row in values["checkpoints"]:
        assert row["labels"] == list(FER2013.labels)
        assert row["model"] in values["networks"]
        assert {"accuracy", "macro_f1", "n", "split", "parameters"} <= set(row)


def test_models_prints_the_measured_accuracy_or_not_measured(capsys, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text('{"model": "emotion_cnn", "labels": ["a", "b"], "preprocess": {}}')
    for module in ("emotion_hub.checkpoints", "emotion_hub.checkpoints.files"):
        monkeypatch.setattr(f"{module}.embedded_checkpoints", lambda: {"mine": tmp_path})
    assert main(["models"]) == 0
    assert "not measured" in capsys.readouterr().out
    (tmp_path / "report.json").write_text('{"accuracy": 0.625, "n": 8, "split": "validation"}')
    assert main(["models"]) == 0
    assert "62.50% on validation (n=8)" in capsys.readouterr().out


def test_version_prints_the_version_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"emotion_hub {emotion_hub.__version__}\n"


def test_the_module_runs_as_a_command(face, unreadable):
    done = subprocess.run(
        [sys.executable, "-m", "emotion_hub", "predict", "-", str(unreadable), "--json"],
        cwd=Path(__file__).resolve().parents[2],
        input=face.read_bytes(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    rows = json.loads(done.stdout)
    assert (done.returncode, len(rows), len(rows[0]["faces"]), "error" in rows[1]) == (1, 2, 1, True), (
        done.stderr.decode()
    )
