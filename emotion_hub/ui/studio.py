"""Studio: one photo for all tabs, and the start and clearing of answers.

An answer belongs to a `Unit`: its fields, and the number of the newest request for it. A change of the photo or of a
setting clears the fields of the units that depend on it, in the browser and at once, and gives them a new number. The
units of the tab that is open are computed then (`Unit.number` changes); those of another tab when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any, Protocol

import gradio as gr

from emotion_hub.ui.photo_field import PhotoInput

__all__ = ["PENDING", "Studio", "StudioTab", "Unit"]

#: The number of a unit for which nothing has been requested.
PENDING = -1

#: The state of the page: the number of requests, the photo's file, the open tab and each unit's newest number. An
#: update of a field has all its properties, because gradio replaces those of a field that is not in the page yet.
_HUB = """const hub = window.emotion_hub ||= {count: 0, file: $initial, tab: $first, due: {}};
    const skip = {__type__: "update"}, units = $units;
    const number = (unit) => unit.tab === hub.tab ? hub.due[unit.name] ?? 0 : skip;
    const empty = ([field, removed, added]) => (
        {__type__: "update", value: null, props: {photo: hub.count, empty: hub.file ? added : removed, field}});"""

#: Clears the units' fields and gives them a new number. gradio repeats a change event that waited for a running one:
#: the same photo does not count again.
_CLEAR = """(photo, waiting) => {
    if (waiting) return [];
    $hub
    if ($new_photo) {
        const file = photo ? photo.path || photo.url : null;
        if (file === hub.file) return [];
        hub.file = file;
    }
    hub.count += 1;
    for (const unit of units) hub.due[unit.name] = hub.count;
    const cleared = units.flatMap((unit) => unit.fields.map(empty));
    const raw = units.flatMap((unit) => unit.raw.map(() => []));
    const more = $new_photo ? [hub.count, {__type__: "update", value: "1", visible: false}] : [];
    return [...units.map(number), ...cleared, ...raw, ...more];
}"""

#: Opens a tab: its units whose number is not the newest get it, and are computed.
_OPEN = """() => {
    $hub
    hub.tab = $tab;
    return units.map(number);
}"""

#: The main button computes the open tab again; from a tab without an answer it opens the first one.
_RUN = """() => {
    $hub
    if (!units.some((unit) => unit.tab === hub.tab)) {
        document.getElementById("tab-" + $first + "-button")?.click();
        hub.tab = $first;
    }
    hub.count += 1;
    for (const unit of units) if (unit.tab === hub.tab) hub.due[unit.name] = hub.count;
    const fields = units.flatMap((unit) => unit.fields.map((field) => unit.tab === hub.tab ? empty(field) : skip));
    return [...units.map(number), ...fields];
}"""


@dataclass(frozen=True)
class Unit:
    """An answer of one tab: the `fields` that show it, each with what it shows without and while analysing a photo.

    `number`, an input of every event that computes the unit, is the number of the newest request for it. `raw` are JSON
    fields that are cleared, too.
    """

    name: str
    tab: str
    fields: Mapping[gr.HTML, tuple[str, str]]
    number: gr.Number
    raw: Sequence[gr.JSON] = ()


class StudioTab(Protocol):
    """A tab whose answers depend on the studio's photo.

    `answers` builds the inside of the tab, `settings` its part of the folded settings, and `connect` registers its
    events, after `Studio.connect`.
    """

    name: str
    title: str

    def answers(self) -> None: ...

    def settings(self) -> None: ...

    def connect(self) -> None: ...


@dataclass
class Studio:
    """The photo with the settings that every tab uses, and the units that were added.

    `whole` takes the whole picture as the face; `face` is the number of the face, from 1, for answers on a single face.
    `latest` is the number of the newest photo, for jobs that are stopped when it changes.
    """

    photo: PhotoInput
    run: gr.Button
    whole: gr.Checkbox
    face: gr.Radio
    first_tab: str
    latest: gr.Number
    units: dict[str, Unit] = field(default_factory=dict)

    def add(
        self,
        name: str,
        tab: str,
        fields: Mapping[gr.HTML, tuple[str, str]],
        raw: Sequence[gr.JSON] = (),
        *,
        is_ready: bool = False,
    ) -> Unit:
        """Add a unit; with `is_ready` the page already shows the answer to request 0.

        Its number lies outside of the tabs, which are not in the page before they are opened.
        """
        number = gr.Number(0 if is_ready else PENDING, precision=0, visible="hidden", render=False)
        self.units[name] = Unit(name, tab, dict(fields), number, tuple(raw))
        return self.units[name]

    def connect(self, tabs: Mapping[str, gr.Tab]) -> None:
        """Register the events of photo, main button, `whole`, `face` and tabs, after all units were added.

        `tabs` is {name: tab}. Call it inside the Blocks, outside of the tabs.
        """
        for unit in self.units.values():
            unit.number.render()
        everything = list(self.units.values())
        self._clear(self.photo.change, everything, new_photo=True)
        self._clear(self.whole.input, everything)
        self._browser(
            self.run.click, [], [*self._numbers(everything), *self._fields(everything)], self._script(_RUN, everything)
        )
        for name, tab in tabs.items():
            self._browser(tab.select, [], self._numbers(everything), self._script(_OPEN, everything, tab=name))

    def clear(self, event: Any, names: Iterable[str], waiting: Any = None) -> None:
        """On `event`, clear these units, which are then computed again, unless the component `waiting` holds True."""
        self._clear(event, [self.units[name] for name in names], waiting=waiting)

    def compute(
        self, name: str, fn: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], **options: Any
    ) -> Any:
        """Run `fn(number, *inputs)` whenever a request for the unit arrives; returns gradio's event."""
        unit = self.units[name]
        return unit.number.change(
            fn,
            [unit.number, *inputs],
            list(outputs),
            api_visibility="private",
            show_progress="hidden",
            trigger_mode="always_last",
            **options,
        )

    def _clear(self, event: Any, units: Sequence[Unit], *, new_photo: bool = False, waiting: Any = None) -> None:
        raw = [component for unit in units for component in unit.raw]
        more = [self.latest, self.face] if new_photo else []
        script = self._script(_CLEAR, units, new_photo=new_photo)
        outputs = [*self._numbers(units), *self._fields(units), *raw, *more]
        self._browser(event, [self.photo, *([] if waiting is None else [waiting])], outputs, script)

    @staticmethod
    def _browser(event: Any, inputs: Sequence[Any], outputs: Sequence[Any], script: str) -> None:
        """An event that runs in the browser alone."""
        event(None, list(inputs), list(outputs), js=script, api_visibility="private", show_progress="hidden")

    @staticmethod
    def _numbers(units: Sequence[Unit]) -> list[gr.Number]:
        return [unit.number for unit in units]

    @staticmethod
    def _fields(units: Sequence[Unit]) -> list[gr.HTML]:
        return [component for unit in units for component in unit.fields]

    def _script(self, text: str, units: Sequence[Unit], **values: Any) -> str:
        """The script with `values` and the units as JSON."""
        described = [
            {
                "name": unit.name,
                "tab": unit.tab,
                "fields": [(component.elem_id, *texts) for component, texts in unit.fields.items()],
                "raw": [0] * len(unit.raw),
            }
            for unit in units
        ]
        initial = (self.photo.value or {}).get("path") if isinstance(self.photo.value, dict) else None
        common = {"initial": initial, "first": self.first_tab, "units": described}
        encoded = {name: json.dumps(value) for name, value in (common | values).items()}
        encoded["hub"] = Template(_HUB).substitute(encoded)
        return Template(text).substitute(encoded)
