"""The fields of ``Config`` as options of a command: their types, defaults and help from there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints

import typer

from stream_w2v.config import SCHEDULES, TEXT_PRESETS, Config

PANEL = "Model"

_METAVARS = {"schedule": "|".join(SCHEDULES), "text": "|".join(TEXT_PRESETS)}


def option_name(field: str) -> str:
    """Return what a field is called on the command line."""
    return f"--{field.replace('_', '-')}"


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of ``Config``.

    The command gets those that were given, by field name, as the mapping ``options``.
    """
    names = [field.name for field in fields(Config)]

    @wraps(command)
    def with_options(context: typer.Context, **arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in names}
        options = {name: value for name, value in values.items() if _was_given(context, name)}
        command(**arguments, options=options)

    own = inspect.signature(command, eval_str=True).parameters.values()
    signature = inspect.Signature(
        [
            inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            *(parameter for parameter in own if parameter.name != "options"),
            *_parameters(),
        ]
    )
    # What typer reads: the signature, and for the types the annotations too.
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {
        parameter.name: parameter.annotation for parameter in signature.parameters.values()
    }
    return with_options


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameters() -> list[inspect.Parameter]:
    types = get_type_hints(Config)
    help_of = _help()
    parameters = []
    for field in fields(Config):
        option = typer.Option(
            option_name(field.name),
            metavar=_METAVARS.get(field.name),
            help=help_of.get(field.name),
            rich_help_panel=PANEL,
        )
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[_value_type(types[field.name]), option],
            )
        )
    return parameters


def _value_type(annotation: Any) -> Any:
    """Return the type in which a value arrives: of a union, what a command line can say."""
    members = get_args(annotation) or (annotation,)
    value = next(member for member in (bool, int, float, str) if member in members)
    return value | None if type(None) in members else value


def _help() -> dict[str, str]:
    """Return the text under each name in the section *Parameters* of the class docstring."""
    section = (inspect.getdoc(Config) or "").partition("Parameters\n----------\n")[2]
    texts: dict[str, list[str]] = {}
    name = ""
    for line in section.partition("\n\n")[0].splitlines():
        if line.startswith(" "):
            texts[name].append(line.strip())
        else:
            name = line
            texts[name] = []
    return {name: " ".join(lines).replace("``", "") for name, lines in texts.items()}
