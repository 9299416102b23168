"""Minimum versions: releases with known vulnerabilities are excluded."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

#: Package, its last excluded release, and the reason.
FLOORS = [
    ("pillow", "12.1.1", "out-of-bounds writes while decoding"),
    ("python-multipart", "0.0.26", "forms that block the parser"),
    ("h11", "0.15.0", "chunked bodies read differently by proxies, CVE-2025-43859"),
    ("starlette", "1.5.1", "paths forged with the Host header, CVE-2026-48710, and later vulnerabilities"),
    ("onnxruntime", "1.31.1", "the telemetry switch is tested from 1.32 on"),
]

#: Extras that must require each package; `""` is the base installation.
GROUPS = {
    "pillow": [""],
    "python-multipart": ["app", "serve"],
    "h11": ["app", "serve"],
    "starlette": ["app", "serve"],
    "onnxruntime": [""],
}


@pytest.mark.parametrize(("package", "bad", "why"), FLOORS)
def test_vulnerable_releases_are_excluded(package: str, bad: str, why: str) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    for name, lines in groups.items():
        required = [requirement for line in lines if (requirement := Requirement(line)).name == package]
        assert required or name not in GROUPS[package], f"{package} belongs in {name or 'the base dependencies'}: {why}"
        assert not any(requirement.specifier.contains(bad) for requirement in required), (
            f"{package} {bad} in {name or 'the base dependencies'}: {why}"
        )
