"""The head on the first backbone: see stages/finetune.py."""

from typing import TYPE_CHECKING

from stages.finetune import finetune

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    finetune("irv2", params.base, params.finetune_irv2)
