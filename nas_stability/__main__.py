"""python -m nas_stability"""

from nas_stability.command_line import main

raise SystemExit(main())
