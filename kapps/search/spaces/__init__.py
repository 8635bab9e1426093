"""Search spaces behind one interface: what a method may ask of a network, which is a text.

kapps.search.spaces.NASBench201     the cells of NAS-Bench-201
kapps.search.spaces.NASBenchMacro   the networks of NAS-Bench-Macro
kapps.search.spaces.AnyNet          the design spaces AnyNet A to E
"""

from kapps._names import attribute_finder
from kapps.search.spaces.anynet_space import AnyNet
from kapps.search.spaces.cell_space import NASBench201
from kapps.search.spaces.macro_space import NASBenchMacro
from kapps.search.spaces.space import Cost, Decision, Space

__all__ = ["AnyNet", "Cost", "Decision", "NASBench201", "NASBenchMacro", "Space"]

__getattr__ = attribute_finder(__name__)
