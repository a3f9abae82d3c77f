"""`goodfit architectures`: proven networks to look for first."""

from __future__ import annotations

from typing import Annotated

import typer

from goodfit.cli.answer import answering, put, put_data
from goodfit.cli.options import Debug, Json


def list_architectures(
    task: Annotated[str, typer.Option(metavar="TASK", help="images, or sounds as spectrograms.")] = "images",
    size: Annotated[int | None, typer.Option(min=1, metavar="PIXELS", help="Height and width of the images.")] = None,
    max_parameters: Annotated[
        float | None, typer.Option(min=1, metavar="N", help="Weights at most, the head not counted.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List proven architectures whose weights others have trained; nothing is downloaded."""
    with answering(debug):
        import json as formats

        from goodfit.training.architectures import find

        found = find(task, size=size, max_parameters=max_parameters)
        if json:
            put_data(formats.dumps([one.to_dict() for one in found], indent=2) + "\n")
            return
        wide = max(len(one.name) for one in found)
        put(f"{'name':{wide}}  {'weights':>11}  {'trained at':>10}  {'at least':>8}  weights' licence  source\n")
        for one in found:
            licence = one.weights_licence or "not said"
            here = " · its weights are installed here" if one.weights_file else ""
            put(
                f"{one.name:{wide}}  {one.reused_parameters:>11,}  {one.input_size:>10}  {one.smallest:>8}  "
                f"{licence:15}  {one.source}{here}\n"
            )
