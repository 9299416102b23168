"""The exploration page: figures, no image of the data, no network access."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import datasets
import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import FER2013, FERPLUS_VOTES
from training.data.exploration import (
    MIN_FACES,
    explore,
    label_vote_table,
    light_by_class,
    mean_faces,
    spread,
    vote_statistics,
)
from training.data.exploration_page import render_page
from training.data.faces import FaceSplit
from training.explore import main

CLASSES = len(FER2013)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def _split(name: str, count: int, seed: int, votes: np.ndarray | None = None) -> FaceSplit:
    rng = np.random.default_rng(seed)
    faces = [Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(count)]
    labels = np.arange(count) % CLASSES
    return FaceSplit(name, faces, labels, [hashlib.sha1(face.tobytes()).hexdigest() for face in faces], votes=votes)


def _votes(**counts: float) -> list[float]:
    return [counts.get(name, 0) for name in FERPLUS_VOTES]


# figures


def test_agreement_entropy_and_majority_of_the_voters():
    votes = np.array(
        [_votes(anger=10), _votes(anger=5, fear=5), _votes(sadness=8, anger=2), _votes()], dtype=np.float32
    )
    split = dataclasses.replace(_split("train", 4, 0, votes), labels=np.full(4, FER2013.index("angry")))
    found = vote_statistics(split)
    assert set(found) == {"all", "angry"}
    assert found["all"]["images"] == 3, "an image without votes has no agreement"
    assert found["all"]["agreement"]["mean"] == pytest.approx((1 + 0.5 + 0.8) / 3)
    assert found["all"]["entropy"]["mean"] == pytest.approx((0 + 1 + 0.7219281) / 3)
    assert found["all"]["no_majority"] == pytest.approx(1 / 3)
    assert found["all"]["label_is_first"] == pytest.approx(2 / 3)
    table = label_vote_table(split)
    assert table.sum() == 3
    assert (
        table[FER2013.index("angry"), FERPLUS_VOTES.index("anger")],
        table[FER2013.index("angry"), FERPLUS_VOTES.index("sadness")],
    ) == (2, 1)
    assert vote_statistics(_split("train", 4, 0)) is None


def test_brightness_and_contrast_are_those_of_the_class():
    planes = np.stack([np.full((48, 48), 10 * i, dtype=np.uint8) for i in range(CLASSES)])
    planes[0, :24] = 200
    light = light_by_class(planes, np.arange(CLASSES), FER2013)
    assert light["brightness"][FER2013.labels[3]]["mean"] == 30
    assert light["contrast"][FER2013.labels[0]]["mean"] == 100
    assert light["contrast"][FER2013.labels[3]]["q95"] == 0
    assert light_by_class(planes[:1], np.zeros(1, dtype=int), FER2013)["brightness"][FER2013.labels[1]] == {}
    assert spread(np.arange(101.0))["q05"] == 5


def test_a_mean_face_needs_many_different_images():
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 256, (2 * MIN_FACES, 8, 8), dtype=np.uint8)
    labels = np.repeat([0, 1], MIN_FACES)
    planes[labels == 1] = planes[-1]  # as many, but copies of one
    faces = mean_faces(planes, labels, FER2013)
    assert [label for label, face in faces.items() if face is not None] == [FER2013.labels[0]]
    face = faces[FER2013.labels[0]]
    assert (face.dtype, face.min(), face.max()) == (np.uint8, 0, 255)
    assert np.corrcoef(face.ravel(), planes[labels == 0].mean(axis=0).ravel())[0, 1] > 0.999
    assert mean_faces(planes[1:], labels[1:], FER2013)[FER2013.labels[0]] is None


# the page


class _Page(HTMLParser):
    """Parses a page: unclosed tags, and every attribute that could load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [
            value
            for name, value in attrs
            if name in ("href", "src", "xlink:href", "srcset", "action") and value and not value.startswith("#")
        ]
        self.pictures += [value for name, value in attrs if tag == "img" and name == "src"]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in ("meta", "img", "link"):
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> tuple[list[FaceSplit], str]:
    rng = np.random.default_rng(3)
    train = _split(
        "train",
        CLASSES * MIN_FACES,
        1,
        rng.integers(0, 4, (CLASSES * MIN_FACES, len(FERPLUS_VOTES))).astype(np.float32),
    )
    test = _split("test", 14, 2, np.ones((14, len(FERPLUS_VOTES)), dtype=np.float32))
    return [train, test], render_page("<drawn> & small", explore({"train": train, "test": test}))


def test_the_page_is_complete_html_with_every_section(page):
    _, html = page
    parsed = _Page(html)
    assert not parsed.open
    assert "&lt;drawn&gt; &amp; small" in html
    assert "<drawn>" not in html
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "Classes",
        "Stored as",
        "Copies",
        "Brightness and contrast",
        "Labels against FER+&#x27;s ten voters",
        "Mean faces",
    ]
    assert html.count("<svg") == 5
    for words in ("prefers-color-scheme: dark", "width=device-width", "364", "var(--one)"):
        assert words in html
    assert not re.search(r"#0a0b0\d", html), "a colour of a chart does not follow light and dark mode"


def test_the_page_loads_nothing_from_the_network(page):
    _, html = page
    parsed = _Page(html)
    assert parsed.links
    assert all(link.startswith("data:image/png;base64,") for link in parsed.links)
    assert not {"script", "link", "iframe", "object"} & parsed.tags
    assert "@import" not in html
    assert "url(http" not in html
    assert len(html.encode()) < 1_000_000


def test_the_page_shows_mean_faces_and_no_image_of_the_data(page):
    splits, html = page
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(src.split(",")[1])))) for src in _Page(html).pictures]
    assert len(pictures) == CLASSES
    for face in (face for split in splits for face in split.faces):
        for picture in pictures:
            assert abs(np.corrcoef(picture.ravel(), np.asarray(face).ravel())[0, 1]) < 0.5


def test_a_page_without_votes_and_near_copies_omits_their_sections():
    html = render_page("small", explore({"train": _split("train", 14, 0)}, near=None))
    assert "FER+" not in html
    assert "Mean faces" not in html
    assert "Near:" not in html


def test_the_command_writes_the_page_of_a_folder(tmp_path, capsys):
    for k, label in enumerate(FER2013.labels):
        (tmp_path / "data" / "train" / label).mkdir(parents=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (48, 48), dtype=np.uint8)).save(
            tmp_path / "data" / "train" / label / "0.png"
        )
    (tmp_path / "data" / "train" / "sad" / "broken.png").write_text("no picture")
    main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "page.html"), "--near", "0"])
    html = (tmp_path / "page.html").read_text()
    assert "<b>1</b>unreadable" in html
    assert str(tmp_path) not in html, "the page contains a local path"
    assert "KiB" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"near=92\.0"):
        main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "page.html"), "--near", "92"])
    with pytest.raises(InputError, match="no data at"):
        main(["--data", str(tmp_path / "gone"), "--out", str(tmp_path / "page.html")])
