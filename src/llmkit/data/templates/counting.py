"""Add to a template what counts its steps."""

from __future__ import annotations

from typing import Any, cast

from jinja2 import nodes, pass_context
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

from llmkit.data.templates.budget import size_of

BUDGET, SPEND, STEP = " budget", " spend", " step"
"""Names that no template can write."""


@pass_context
def spend(context: Context, value: Any) -> Any:
    """Count a value that was made, or that is to be written; return it."""
    budget = context.parent[BUDGET]
    budget.left -= 1 + (len(value) if type(value) is str else size_of(value, budget.all_left))
    if budget.left < budget.look:
        budget.check()
    return value


@pass_context
def step(context: Context, steps: int) -> None:
    """Count steps that make nothing."""
    context.parent[BUDGET].spend(steps)


class Counting(NodeTransformer):
    """Adds to a template what counts its steps.

    What is written at once is counted as it comes (`rendered`): nothing needs to be added to most templates' loops.
    What a macro or `{% set %}` collects is counted before.
    """

    written_at_once = True

    def visit_For(self, node: Any) -> Any:  # noqa: N802 - named after the node
        """Count the rounds of a loop."""
        first = node.body[0] if node.body else None
        if not (self.written_at_once and isinstance(first, nodes.Output)) or node.recursive:
            self._add_step(node)
        self._collected(node) if node.recursive else self.generic_visit(node)
        if node.test is not None:  # rounds that it leaves out never reach the body
            node.iter = _filtered(node.iter, SPEND)
        return node

    def visit_Macro(self, node: Any) -> Any:  # noqa: N802
        """Count the calls of a macro."""
        self._add_step(node)
        return self._collected(node)

    visit_CallBlock = visit_Block = visit_Macro  # noqa: N815

    def visit_AssignBlock(self, node: Any) -> Any:  # noqa: N802
        """Know that nothing in it is written at once."""
        return self._collected(node)

    visit_FilterBlock = visit_AssignBlock  # noqa: N815

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        """Count what is not text yet before it becomes text: lists of lists of lists are long."""
        node.nodes = [self._written(child) for child in node.nodes]
        return node

    def visit_Add(self, node: nodes.Add) -> nodes.Expr:  # noqa: N802
        """Count a sum once, however many terms it has."""
        return _filtered(self._terms(node), SPEND)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        """Count the terms, which become text, and the text."""
        self.generic_visit(node)
        node.nodes = [_filtered(item, SPEND) for item in node.nodes]
        return _filtered(node, SPEND)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        """Count slices: they are copies."""
        self.generic_visit(node)
        return _filtered(node, SPEND) if isinstance(node.arg, nodes.Slice) else node

    def _written(self, node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.Add):
            terms = self._terms(node)
            return terms if self.written_at_once and _is_text(terms) else _filtered(terms, SPEND)
        seen = cast("nodes.Expr", self.visit(node))
        counted = nodes.TemplateData, nodes.Const, nodes.Filter, nodes.Call
        return seen if isinstance(seen, counted) else _filtered(seen, SPEND)

    def _terms(self, node: nodes.Add) -> nodes.Add:
        for side in ("left", "right"):
            term = getattr(node, side)
            setattr(node, side, self._terms(term) if isinstance(term, nodes.Add) else self.visit(term))
        return node

    def _add_step(self, node: Any) -> None:
        """Count a round or a call by the text that stands in it."""
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        text += sum(len(str(const.value)) for const in node.find_all(nodes.Const))
        node.body.insert(
            0, nodes.ExprStmt(_filtered(nodes.Const(1 + text // 8, lineno=node.lineno), STEP), lineno=node.lineno)
        )

    def _collected(self, node: Any) -> Any:
        before, self.written_at_once = self.written_at_once, False
        self.generic_visit(node)
        self.written_at_once = before
        return node


def _is_text(node: nodes.Expr) -> bool:
    """Return whether an expression can only be text."""
    if isinstance(node, nodes.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _filtered(node: nodes.Expr, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
