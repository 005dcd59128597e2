"""Which tensors are sent, and which stay at the site."""

import logging

import numpy as np

logger = logging.getLogger(__name__)


def split_tensor_dict_by_types(tensor_dict, keep_types):
    """Part tensors into those of these kinds of number, and the others."""
    keep, others = {}, {}
    for name, value in tensor_dict.items():
        fits = any(np.issubdtype(value.dtype, kind) for kind in keep_types)
        (keep if fits else others)[name] = value
    return keep, others


def split_tensor_dict_into_floats_and_non_floats(tensor_dict):
    """Part tensors into those of floating-point numbers, and the others."""
    return split_tensor_dict_by_types(tensor_dict, (np.floating,))


def split_tensor_dict_for_holdouts(tensor_dict, keep_types=(np.floating, np.integer), holdout_tensor_names=()):
    """Part tensors into those that are sent, and those that stay.

    By name, and whatever is of no kind in keep_types.
    """
    send, stay = dict(tensor_dict), {}
    for name in holdout_tensor_names:
        if name in send:
            stay[name] = send.pop(name)
        elif name not in stay:
            logger.warning("there is no tensor %s to keep at the site", name)
    send, others = split_tensor_dict_by_types(send, keep_types)
    return send, {**stay, **others}
