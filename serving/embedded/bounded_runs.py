"""Which parts of a graph end by themselves."""

from __future__ import annotations

from collections.abc import Iterable

from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import op_def_registry

# What waits for others has a state, such as a queue, or gets it from what has one. So
# have these, which don't wait.
_NEVER_WAIT = frozenset(
    {
        "Assert",
        "Case",
        "CheckNumerics",
        "HashTableV2",
        "If",
        "LookupTableFindV2",
        "LookupTableSizeV2",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "StatefulPartitionedCall",
        "VarHandleOp",
        "VarIsInitializedOp",
    }
)

# Loops and calls of anything, which have no state.
_ENDLESS = frozenset(
    {"BatchFunction", "Enter", "For", "PyFuncStateless", "RefEnter", "StatelessWhile"}
)


def is_bounded(graph: graph_pb2.GraphDef, fetches: Iterable[str]) -> bool:
    """Finds out whether a run can neither wait for something nor go round in a loop.

    Args:
        graph: The graph with its functions.
        fetches: Names of the tensors that the run fetches, such as `y:0`.

    Returns:
        False, too, where that isn't known of an operation.
    """
    functions = {one.signature.name: one.node_def for one in graph.library.function}
    left, seen = _needed(graph, fetches), set[str]()
    while left:
        node = left.pop()
        if node.op not in functions and not _ends(node.op):
            return False
        called = functions.keys() & _named(node)
        for name in called - seen:
            left += functions[name]
        seen |= called
    return True


def _needed(
    graph: graph_pb2.GraphDef, fetches: Iterable[str]
) -> list[node_def_pb2.NodeDef]:
    nodes = {node.name: node for node in graph.node}
    left, seen = list(fetches), set[str]()
    while left:
        name = left.pop().removeprefix("^").partition(":")[0]
        if name not in seen:
            seen.add(name)
            left += nodes[name].input
    return [nodes[name] for name in seen]


def _ends(op: str) -> bool:
    known = op_def_registry.get(op)
    if known is None or op in _ENDLESS:
        return False
    return op in _NEVER_WAIT or not known.is_stateful


def _named(node: node_def_pb2.NodeDef) -> set[str]:
    """Names of the functions that a node may call."""
    names = {node.op}
    for value in node.attr.values():
        names |= {value.func.name, *(one.name for one in value.list.func)}
    return names
