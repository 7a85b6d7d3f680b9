"""The picture in docs/architecture.md, made from the imports: python -m tests.architecture [--check].

Rooms from top to bottom, each with the rooms that its modules import. With --check nothing is written, and the exit
code is 1 where the page shows another picture than the code's.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- made by tests/architecture.py -->", "<!-- end -->"
TOPS = ("benchmarks", "harness", "analysis")


def room_of(module: str) -> str:
    """The room of a dotted module: its folder, or the file where it lies at the top of harness or nas_stability."""
    parts = module.split(".")[1:]
    if not parts:
        return "nas_stability"
    if parts[0] not in TOPS:
        return "nas_stability"
    folder = ROOT.joinpath(*parts)
    while not (folder.is_dir() and (folder / "__init__.py").exists()):
        parts, folder = parts[:-1], folder.parent
    return "/".join(parts)


def imported(path: Path, names: set[str]) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nas_stability":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in names else str(node.module))
    return found


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module."""
    files = [path for top in TOPS for path in ROOT.joinpath(top).rglob("*.py")]
    files += ROOT.joinpath("nas_stability").glob("*.py")
    named = {}
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        full = parts if parts[0] == "nas_stability" else ("nas_stability", *parts)
        named[".".join(full[:-1] if full[-1] == "__init__" else full)] = path
    return named


def rooms() -> dict[str, tuple[int, set[str]]]:
    """Room -> how many lines it has, and the rooms that it imports; a room below is not above its importers."""
    found: dict[str, tuple[int, set[str]]] = {}
    named = modules()
    for name, path in named.items():
        room = room_of(name)
        lines, others = found.get(room, (0, set()))
        others |= {room_of(other) for other in imported(path, set(named))} - {room}
        found[room] = (lines + len(path.read_text(encoding="utf-8").splitlines()), others)
    return found


def picture() -> str:
    """The rooms as a table in Markdown, those of analysis first."""
    order = ("nas_stability", "analysis", "harness", "benchmarks")
    found = rooms()
    rows = ["| room | lines | imports |", "|---|---|---|"]
    for top in order:
        for room in sorted(name for name in found if name.split("/")[0] == top):
            lines, others = found[room]
            below = sorted(others, key=lambda name: (order.index(name.split("/")[0]), name))
            rows.append(f"| `{room}` | {lines} | {', '.join(below)} |")
    return "\n".join(rows)


def main() -> int:
    """Writes the page, or says whether it is as the code."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{picture()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("docs/architecture.md is not as the code: python -m tests.architecture", file=sys.stderr)
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
