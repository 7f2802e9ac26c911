"""Stand-ins: generated images or random weights used because no server answered; reported in one banner."""

from dataclasses import dataclass, field

from realwaste.core.errors import UnreachableError
from realwaste.core.log import banner


@dataclass
class StandIns:
    """The stand-ins of one run: (substitute, the setting that forbids it, the reason)."""

    entries: list[tuple[str, str, UnreachableError]] = field(default_factory=list)

    def add(self, substitute: str, setting: str, reason: UnreachableError) -> None:
        """Record a stand-in, such as "random weights in DenseNet121", by the fields of `entries`."""
        self.entries.append((substitute, setting, reason))

    def show_banner(self) -> None:
        """Print one banner if there are stand-ins; each line of its command fits in 80 columns."""
        if not self.entries:
            return
        reasons = {reason.remedy: reason.rule for _, _, reason in self.entries}
        banner(
            "STAND-INS: THEIR SCORES MEAN NOTHING",
            *(f"- {substitute}" for substitute, _, _ in self.entries),
            *(f"Why: {rule}\n{remedy}" for remedy, rule in reasons.items()),
            "For the real thing:",
            "    dvc exp run \\",
            " \\\n".join(f"      -S {setting}" for _, setting, _ in self.entries),
        )
