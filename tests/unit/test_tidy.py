"""Style that a machine can check. The lists are ratchets: what is in them may only shrink."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for p in (ROOT / "sidecar/tallystick").rglob("*.py") if p.parent.name != "v1")
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS = sorted((ROOT / "sidecar/tallystick/store/lua").glob("*.lua"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

MODULE_LINES, FUNCTION_LINES, SCRIPT_LINES = 300, 40, 120
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {"engine/engine.py:reserve": 41, "core/matching.py:make_plan": 48}
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)(_|$)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "sidecar/tallystick"))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_fits_in_the_head(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONG_MODULES.get(name_of(path), MODULE_LINES)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_fits_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            most = LONG_FUNCTIONS.get(f"{name_of(path)}:{node.name}", FUNCTION_LINES)
            assert node.end_lineno - node.lineno < most, node.name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_a_script_is_short_and_opens_with_its_contract(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= SCRIPT_LINES
    opening = text.splitlines()[1 if text.startswith("#!") else 0]
    assert opening.startswith("-- ")
    if not path.name.startswith("_"):
        assert "ARGV" in text
        assert re.search(r"^-- Repl(y|ies)", text, re.MULTILINE)


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=str)
def test_names_say_something(path: Path) -> None:
    assert not BANNED_NAMES.search(path.stem)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
            assert not BANNED_NAMES.search(words), node.name


def test_the_ratchets_hold_no_more_than_they_must() -> None:
    for name, most in LONG_MODULES.items():
        lines = len((ROOT / "sidecar/tallystick" / name).read_text().splitlines())
        assert MODULE_LINES < lines <= most <= 500, name


def test_only_config_reads_the_environment() -> None:
    readers = [name_of(p) for p in SOURCES if re.search(r"os\.environ|os\.getenv", p.read_text())]
    assert set(readers) <= {"config.py", "setting_types.py", "demo/sidecar.py"}


def test_relative_links_in_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
