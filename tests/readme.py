"""README's commands: prints the code blocks of its first screen as a shell script. The standard library only."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def first_screen_commands() -> list[str]:
    """The lines of README's shell blocks above its second heading."""
    first = README.read_text().split("\n## ", 2)
    blocks = re.findall(r"```bash\n(.*?)```", "\n## ".join(first[:2]), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


if __name__ == "__main__":
    # A failure in the middle of an && list does not end a shell script by itself.
    print("\n".join(f"{{ {command}; }} || exit 1" for command in first_screen_commands()))
