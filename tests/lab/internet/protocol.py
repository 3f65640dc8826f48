from collections.abc import Mapping
from pathlib import Path
from typing import Any
def protocol(*a: Any) -> Mapping[str, Any]:
    raise NotImplementedError
