"""`realwaste models`."""

from realwaste.cli.options import AsJson
from realwaste.core import log


def models(as_json: AsJson = False) -> None:
    """List the models that are here, with their scores, size and speed.

    They are those in models/, or in the folder that the variable REALWASTE_MODEL names. Scores and the time an image
    takes are of the run that trained them, on its machine; none are told where that run's model was another.

    Example: `realwaste models --json`
    """
    from realwaste.cli import model_list, model_resolution, model_table, standard_output  # noqa: PLC0415 - likewise

    found = model_list.entries()
    if as_json:
        about = {"folder": str(model_resolution.folder()), "scores_from": str(model_resolution.scores())}
        standard_output.record(about | {"models": [one.record() for one in found]})
        return
    standard_output.tables([model_table.table(found)])
    for one in found:
        if one.chosen:
            log.logger.info("without --model, %s answers: %s", one.path.stem, model_resolution.choose(None)[1])
