"""The picture as PNG, by resvg: a renderer without a browser. Needs the extra `report`."""

import resvg_py

_ZOOM = 2  # sharp where a page shows it at half its size


def as_png(svg: str) -> bytes:
    """Render an SVG of ours, with the fonts of this machine."""
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM, background="#ffffff"))
