"""Write the dashboards; with a folder as argument there, else beside this package."""

import sys
from pathlib import Path

from dashboards.source.written import FOLDER, write

write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
