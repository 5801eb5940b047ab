"""Pictures: grids of images, curves, series, autograd graphs, and the report that shows a run.

matplotlib is imported when a grid or a curve is drawn, and needs no display; graphs need nothing.
"""

from minigen.viz.animation import gif
from minigen.viz.attacks import attacks
from minigen.viz.by_size import by_size
from minigen.viz.curves import Curve, curves, light_and_dark
from minigen.viz.density import density, density_maps
from minigen.viz.graph import Drawing, graph, graph_text
from minigen.viz.grid import png, tile
from minigen.viz.report import Grid, Picture, Row, Section, write_report
from minigen.viz.series import Band, series, waves
from minigen.viz.summary import Layer, Summary, summary
