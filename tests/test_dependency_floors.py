"""Lower bounds that matter: releases with known vulnerabilities that requests or files can reach cannot be installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

#: Package, the last release that must not be admitted, and why.
FLOORS = [
    ("pillow", "12.1.1", "out-of-bounds writes while decoding"),
    ("python-multipart", "0.0.26", "forms that hold up the parser"),
    ("h11", "0.15.0", "chunked bodies read differently by proxies, CVE-2025-43859"),
    ("starlette", "1.5.1", "paths forged through the Host header, CVE-2026-48710, and later ones"),
    ("onnxruntime", "1.31.1", "the telemetry switch is tested from 1.32 on"),
]

#: Groups of pyproject.toml that serve requests; `""` is the base installation.
GROUPS = {
    "pillow": [""],
    "python-multipart": ["app", "serve"],
    "h11": ["app", "serve"],
    "starlette": ["app", "serve"],
    "onnxruntime": [""],
}


@pytest.mark.parametrize(("package", "bad", "why"), FLOORS)
def test_vulnerable_releases_are_not_admitted(package: str, bad: str, why: str) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    for name, lines in groups.items():
        found = [requirement for line in lines if (requirement := Requirement(line)).name == package]
        assert found or name not in GROUPS[package], f"{package} belongs in {name or 'the base dependencies'}: {why}"
        assert not any(requirement.specifier.contains(bad) for requirement in found), (
            f"{package} {bad} in {name or 'the base dependencies'}: {why}"
        )
