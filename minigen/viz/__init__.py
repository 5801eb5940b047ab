"""Pictures: grids of images, curves, and the report that puts a run on one page.

matplotlib is imported when a picture is drawn, and needs no display.
"""

from minigen.viz.curves import Curve, curves
from minigen.viz.grid import png, tile
from minigen.viz.report import Picture, Row, Section, write_report
