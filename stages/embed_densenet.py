"""Vectors of the second backbone: see stages/embed.py."""

from typing import TYPE_CHECKING

from stages.embed import embed

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    embed("densenet", params.base, params.finetune_densenet)
