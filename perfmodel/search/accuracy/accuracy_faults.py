"""Faults that accuracy models share: unknown layers, unknown options, and missing options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from perfmodel.errors import Fault, nearest, one_of
from perfmodel.search.accuracy.layer_option import LayerOption, describe


def unknown_layer_faults(layers: Iterable[str], known: Iterable[str], where: str) -> list[Fault]:
    """Return a fault for each layer that is not known.

    Parameters
    ----------
    where
        Name of the table or file that lists the known layers, for the messages.
    """
    names = list(known)
    known_names = set(names)
    first_names = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    faults: list[Fault] = []
    for layer in layers:
        if layer not in known_names:
            suggestion = nearest(layer, names)
            message = f"no layer '{layer}' in {where}"
            expected = "" if suggestion else f"one of {first_names}"
            faults.append(Fault(message, "accuracy", expected=expected, suggestion=suggestion))
    return faults


def option_list_faults(
    layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
) -> list[Fault]:
    """Return a fault for each layer without options, or for a wrong number of lists."""
    if len(layers) != len(options):
        message = f"{len(layers)} layers and {len(options)} lists of options"
        return [Fault(message, path="accuracy", expected="a list of options for each layer")]
    return [
        Fault(f"layer '{layer}' has no options", path="accuracy", expected="at least one")
        for layer, offered in zip(layers, options, strict=True)
        if not offered
    ]


def known_losses(
    options: Sequence[LayerOption],
    known: Mapping[str, float],
    message_of: Callable[[str], str],
    faults: list[Fault],
) -> list[float]:
    """Return the known loss of each option of a layer; 0 with a fault for an unknown option.

    Parameters
    ----------
    known
        Text of an option -> loss.
    message_of
        Text of an unknown option -> message of its fault.
    faults
        List to which faults are appended.
    """
    texts = [describe(option) for option in options]
    faults += [
        Fault(
            message_of(text),
            path="accuracy",
            expected=one_of(known),
            suggestion=nearest(text, known, cutoff=0.75),
        )
        for text in texts
        if text not in known
    ]
    return [known.get(text, 0.0) for text in texts]
