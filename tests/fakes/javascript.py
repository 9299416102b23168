"""Scripts of the page, run by node in a fake window."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["Ran", "check_syntax", "needs_node", "run_scripts", "run_template"]

_NODE = shutil.which("node")

needs_node = pytest.mark.skipif(_NODE is None, reason="node, which runs the page's scripts, is not installed")

#: `document` knows every id; what was clicked is recorded.
_RUN = """
const {calls, state} = JSON.parse(require("fs").readFileSync(0));
const clicked = [], window = globalThis.window = state;
globalThis.document = {getElementById: (id) => ({click: () => clicked.push(id)})};
const results = calls.map(([script, values]) => eval("(" + script + ")")(...values));
console.log(JSON.stringify({results, clicked, state: window}));
"""

_SYNTAX = """
const vm = require("vm");
for (const script of JSON.parse(require("fs").readFileSync(0)))
    if (typeof vm.runInNewContext("(" + script + ")") !== "function") throw new Error("no function: " + script);
console.log(true);
"""

#: As gradio's frontend does it: the template is a template literal that sees the value and the properties. Equal values
#: are the same object, as when only a property has changed.
_TEMPLATE = """
const {template, rows, names} = JSON.parse(require("fs").readFileSync(0));
const live = {textContent: ""}, asked = [], values = {};
globalThis.window = {};
globalThis.document = {
    getElementById: (id) => (asked.push(id), live),
    querySelector: (selector) => (asked.push(selector), {textContent: "said " + selector}),
};
globalThis.setTimeout = (fn) => fn();
const show = new Function(...names, "return `" + template + "`");
for (const row of rows) row.value = values[JSON.stringify(row.value)] ??= row.value;
const texts = rows.map((row) => [show(...names.map((name) => row[name])), live.textContent]);
console.log(JSON.stringify({texts, asked}));
"""


@dataclass(frozen=True)
class Ran:
    """What scripts did: each one's result, the ids of the clicked elements, and `window` at the end."""

    results: list[Any]
    clicked: list[str]
    state: dict[str, Any]


def run_scripts(calls: Sequence[tuple[str, Sequence[Any]]], state: dict[str, Any] | None = None) -> Ran:
    """Call each (function as text, arguments), one after another; `state` is `window` at the start."""
    return Ran(**_node(_RUN, {"calls": list(calls), "state": state or {}}))


def run_template(template: str, rows: Sequence[dict[str, Any]]) -> tuple[list[list[str]], list[str]]:
    """([text, what is announced] for each row of values, the ids and selectors that were looked up)."""
    names = list(rows[0])
    answer = _node(_TEMPLATE, {"template": template, "rows": list(rows), "names": names})
    return answer["texts"], answer["asked"]


def check_syntax(scripts: Sequence[str]) -> None:
    """Fail unless every text is a function in JavaScript."""
    assert _node(_SYNTAX, list(scripts)) is True


def _node(program: str, values: Any) -> Any:
    assert _NODE is not None
    done = subprocess.run(
        [_NODE, "-e", program], input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
