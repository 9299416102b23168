"""Structure of the packages: import cost, layers, exports, folders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import emotion_hub
from benchmarks.sizes import requirements
from emotion_hub.labels import FER2013

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "emotion_hub").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))

#: The library from the bottom up: a module imports from its own layer and those before it. A dotted name is a
#: module that lies deeper than its package.
LAYERS = [
    "version",
    "errors",
    "gradio_compat",
    "lazy",
    "backend_names",
    "examples",
    "labels",
    "prediction_sets",
    "onnx.runtime",
    "file_structure",
    "image_limits",
    "image_bytes",
    "image_modes",
    "images",
    "drawing",
    "detectors",
    "preprocess",
    "quality",
    "faces",
    "checkpoints",
    "models",
    "onnx",
    "backends",
    "results",
    "predictor",
    "predictor_ensemble",
    "comparison",
    "perturb",
    "explainers",
    "interop",
    "video",
    "batch",
    "serve",
    "ui",
    "cli",
    "__main__",
]

#: The packages of training/ from the bottom up; the commands at the top import from all of them.
TRAINING_LAYERS = ["augmentation", "data", "evaluation", "fit", "explanations", "publishing", "studies"]

#: Most modules a folder may hold.
FOLDER = 24

#: Layers that stand before another one and are still none of its business: {importer: forbidden}.
APART = {
    "preprocess": {"faces", "labels"},
    "images": {"labels"},
    "detectors": {"labels"},
    "faces": {"labels"},
    "results": {"faces", "models", "backends"},
}

each_module = pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.relative_to(ROOT).as_posix())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _layer(path: Path) -> str:
    return _layer_of(".".join(path.relative_to(ROOT / "emotion_hub").with_suffix("").parts))


def _layer_of(module: str) -> str:
    """The layer of a module below the root, such as "onnx.runtime" or "serve"."""
    return next(
        (layer for layer in LAYERS if "." in layer and f"{module}.".startswith(f"{layer}.")), module.split(".")[0]
    )


def _imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of every import, at any depth and under TYPE_CHECKING too."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from ((node.module, alias.name) for alias in node.names)


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return None


def _bound(tree: ast.Module) -> set[str]:
    """Names a module binds at its top level."""
    names = set()
    for node in (each for top in tree.body for each in (top.body if isinstance(top, ast.Try | ast.If) else [top])):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {t.id for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)}
    return names


def _in_order(names: list[str]) -> list[str]:
    """Ruff's order (RUF022): constants, classes, then functions, each sorted."""
    return sorted(names, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n))


# importing


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, emotion_hub\n"
        "heavy = {'torch', 'torchvision', 'timm', 'gradio', 'transformers', 'cv2', 'skimage', 'scipy'}\n"
        "heavy |= {'huggingface_hub', 'PIL', 'numpy'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_command_line_explains_itself_without_torch():
    code = (
        "import sys; from emotion_hub.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print({'torch', 'gradio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.splitlines()[-1], done.returncode) == ("set()", 0), done.stderr


def test_every_public_name_of_the_package_resolves_to_the_object_of_that_name():
    for name in emotion_hub.__all__:
        assert getattr(emotion_hub, name).__name__ == name
        assert name in dir(emotion_hub)


def test_type_checkers_see_the_names_that_the_package_has():
    tree = _tree(ROOT / "emotion_hub" / "__init__.py")
    [guarded] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = {(alias.name, node.module) for node in guarded.body for alias in node.names}
    assert imports - {("Any", "typing")} == set(emotion_hub._HOME.items())
    assert sorted(emotion_hub._HOME) == emotion_hub.__all__


def test_an_unknown_attribute_lists_the_names():
    with pytest.raises(AttributeError, match=r"'Predictor'.*EmotionClassifier, EmotionPredictor"):
        emotion_hub.Predictor  # noqa: B018


# __all__


@pytest.mark.parametrize("path", [*LIBRARY, *TRAINING], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_exports_are_in_order_unique_and_defined(path):
    tree = _tree(path)
    names = _exported(tree)
    if names is None:
        assert not {n for n in _bound(tree) if not n.startswith("_")} - {"annotations"}, (
            "a module with public names says which in __all__"
        )
        return
    assert names == _in_order(names)
    assert len(set(names)) == len(names)
    known = _bound(tree) | (set(emotion_hub._HOME) if path == ROOT / "emotion_hub" / "__init__.py" else set())
    assert set(names) <= known


@pytest.mark.parametrize(
    "path",
    # a tab's handlers and a script's steps are read by tests only: their modules export what others call
    [path for path in LIBRARY if _layer(path) != "ui"],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_every_public_function_and_class_is_exported(path):
    tree = _tree(path)
    public = {
        n.name
        for n in tree.body
        if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        if not n.name.startswith("_")
    }
    assert public <= set(_exported(tree) or ())


# which way imports run


@each_module
def test_imports_flow_down_the_layers(path):
    layer = _layer(path)
    if layer == "__init__":
        return  # the root resolves its names when they are asked for; the next tests hold it to that
    assert layer in LAYERS, f"{layer} is new: give it a place in LAYERS"
    for module, name in _imports(path):
        top, *rest = module.split(".")
        assert top not in ("training", "tests", "benchmarks", "app"), f"the library never imports {module}"
        if top != "emotion_hub":
            continue
        assert rest, f"{path.name} imports {name} from the package's root; import it from its module"
        origin = _layer_of(".".join([*rest, name] if name else rest))
        assert LAYERS.index(origin) <= LAYERS.index(layer), f"{layer} imports upwards: {module}"
        assert origin not in APART.get(layer, ()), f"{layer} does not need {module}"


def test_the_root_imports_nothing_of_the_package_when_it_is_loaded():
    tree = _tree(ROOT / "emotion_hub" / "__init__.py")
    loaded = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {node.module for node in loaded} == {"__future__", "importlib", "emotion_hub.version"}


def _is_script(path: Path) -> bool:
    return any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in _tree(path).body)


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_the_scripts_are_found():
    scripts = {_dotted(path) for path in TRAINING if _is_script(path)}
    assert {"training.train", "training.evaluate", "training.package", "training.studies.framing"} <= scripts
    assert not {"training.data.faces", "training.augmentation.augment", "training.fit.recipe"} & scripts


@pytest.mark.parametrize("path", TRAINING, ids=_dotted)
def test_nothing_imports_a_script(path):
    scripts = {_dotted(p) for p in TRAINING if _is_script(p)}
    for module, name in _imports(path):
        assert not {module, f"{module}.{name}"} & scripts, (
            f"{path.name} imports the script {module}; move what it needs to a module without main"
        )


@pytest.mark.parametrize("path", TRAINING, ids=_dotted)
def test_imports_between_the_training_packages_are_acyclic(path):
    inside = path.relative_to(ROOT / "training").parts
    if len(inside) == 1:
        assert path.name == "__init__.py" or _is_script(path), (
            "modules at the top are commands; move the others to a package"
        )
        return
    assert inside[0] in TRAINING_LAYERS, f"{inside[0]} is new: give it a place in TRAINING_LAYERS"
    for module, _ in _imports(path):
        top, *rest = module.split(".")
        assert top not in ("tests", "benchmarks", "app"), f"training never imports {module}"
        if top == "training":
            assert rest, f"{path.name} imports from the top of training; the commands there are for the shell alone"
            assert TRAINING_LAYERS.index(rest[0]) <= TRAINING_LAYERS.index(inside[0]), (
                f"{inside[0]} imports upwards: {module}"
            )


@pytest.mark.parametrize(
    "path",
    [p for p in [*LIBRARY, *TRAINING] if p.name == "__init__.py" and p.parent.name != "emotion_hub"],
    ids=_dotted,
)
def test_the_init_of_a_package_only_exports(path):
    allowed = ast.Import | ast.ImportFrom | ast.Expr | ast.Assign | ast.Try
    for node in _tree(path).body:
        assert isinstance(node, allowed), f"line {node.lineno}: move this to a module; __init__ only re-exports"
        if isinstance(node, ast.Assign):
            assert [t.id for t in node.targets] == ["__all__"]
        if isinstance(node, ast.Try):  # what a missing extra is called
            assert all(isinstance(inner, ast.ImportFrom) for inner in node.body)
            assert all(isinstance(inner, ast.Raise) for handler in node.handlers for inner in handler.body)


@pytest.mark.parametrize("top", ["emotion_hub", "training", "benchmarks", "tests"])
def test_no_folder_holds_too_many_modules(top):
    for folder in [ROOT / top, *(p for p in (ROOT / top).rglob("*") if p.is_dir())]:
        modules = [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        assert len(modules) <= FOLDER, (
            f"{folder.relative_to(ROOT)} holds {len(modules)} modules, at most {FOLDER}; make a package of some"
        )


@pytest.mark.parametrize("path", [p for p in TRAINING if _is_script(p)], ids=_dotted)
def test_a_script_has_a_main_that_takes_its_arguments(path):
    [main] = [n for n in _tree(path).body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    assert [a.arg for a in main.args.args] == ["argv"]
    assert len(main.args.defaults) == 1
    assert "main" in _exported(_tree(path))


# said once


@pytest.mark.parametrize(
    "path",
    [p for p in [*LIBRARY, *TRAINING, ROOT / "app.py"] if p.name != "preprocess.py"],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_no_other_module_restates_the_preprocessing(path):
    text = path.read_text(encoding="utf-8")
    assert "0.485" not in text
    assert "0.229" not in text
    constants = [n.value for n in ast.walk(_tree(path)) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    assert not {0.485, 0.229} & set(constants)


@pytest.mark.parametrize(
    "path",
    [p for p in [*LIBRARY, *TRAINING, ROOT / "app.py"] if p.name not in ("labels.py", "study.py")],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_no_other_module_lists_the_labels(path):
    for node in ast.walk(_tree(path)):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        words = {item.value for item in items if isinstance(item, ast.Constant)}
        assert len(words & set(FER2013.labels)) < 3, (
            f"line {node.lineno} lists labels; take them from emotion_hub.labels"
        )


def test_these_checks_can_fail():
    assert "0.485" in (ROOT / "emotion_hub" / "preprocess.py").read_text()
    lists = [n for n in ast.walk(_tree(ROOT / "emotion_hub" / "labels.py")) if isinstance(n, ast.Tuple)]
    assert any({item.value for item in n.elts if isinstance(item, ast.Constant)} == set(FER2013.labels) for n in lists)
    assert _in_order(["compare", "Face", "MAX", "Box"]) == ["MAX", "Box", "Face", "compare"]


# requirements


def _lines(name: str) -> list[str]:
    return [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines() if line.split("#")[0].strip()]


def test_requirements_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    whole = {*project["dependencies"], *requirements(extras, "app", "cam", "explain", "torch")}
    assert _lines("requirements.txt") == sorted(whole)
    first, *others = _lines("requirements-dev.txt")
    assert first == "-r requirements.txt"
    assert others == sorted(requirements(extras, "train", "dev") - whole)


def test_no_text_recommends_a_name_that_no_index_has():
    for path in [*LIBRARY, *TRAINING, ROOT / "app.py", ROOT / "README.md", ROOT / "model_card.md"]:
        for line in path.read_text(encoding="utf-8").splitlines():
            named = re.search(r"pip install [^#]*emotion[-_]hub", line)
            assert not named or "git+" in line or ".whl" in line, f"{path.name}: {line.strip()}"


def test_the_version_is_written_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "emotion_hub.version.__version__"}


def test_the_wheel_has_every_data_file():
    [patterns] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"].values()
    package = ROOT / "emotion_hub"
    files = {p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".pyi")}
    assert files
    assert files - {path for pattern in patterns for path in package.glob(pattern)} == set()
