"""What a run used in place of what was asked for, because nothing answered; said once, when all of it is known."""

from dataclasses import dataclass, field

from realwaste.core.errors import UnreachableError
from realwaste.core.log import banner


@dataclass
class StandIns:
    """Filled by the fetches of one run: (what is used instead, the setting that insists, why)."""

    found: list[tuple[str, str, UnreachableError]] = field(default_factory=list)

    def add(self, used: str, setting: str, reason: UnreachableError) -> None:
        """Note one.

        Args:
            used: "random weights in DenseNet121", say.
            setting: the `key=value` with which the real thing is fetched or the run ends in an error.
            reason: that nothing answered, and what helps.
        """
        self.found.append((used, setting, reason))

    def say(self) -> None:
        """One banner, and none where there is nothing to say; each line of the command fits in 80 columns."""
        if not self.found:
            return
        reasons = {reason.remedy: reason.rule for _, _, reason in self.found}
        banner(
            "STAND-INS: THESE SCORES MEAN NOTHING",
            *(f"- {used}" for used, _, _ in self.found),
            *(f"Why: {rule}\n{remedy}" for remedy, rule in reasons.items()),
            "For the real thing:",
            "    dvc exp run \\",
            " \\\n".join(f"      -S {setting}" for _, setting, _ in self.found),
        )
