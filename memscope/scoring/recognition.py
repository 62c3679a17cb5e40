"""Tells a model from another one that is served under the same name, so that the store never mixes them."""

import hashlib
from itertools import count

import numpy as np

from memscope.scorers.base import Scorer
from memscope.scorers.probe import SCORED
from memscope.store import Store

_SAME = 0.25
"""Nats a token by which a model's signature may differ from itself: a mean, since servers are noisy."""


def recognise(scorer: Scorer, store: Store) -> str:
    """The scorer's fingerprint, with a number if other models have been seen behind it before.

    A scorer whose fingerprint does not cover its weights has a signature, log-probabilities of a fixed
    prompt; each signature that is unlike the known ones is kept as that of another model.
    """
    signature = scorer.signature
    if signature is None:
        return scorer.fingerprint
    for number in count():
        fingerprint = f"{scorer.fingerprint} {number}" if number else scorer.fingerprint
        key = hashlib.sha256(b"signature\0" + fingerprint.encode()).digest()
        known = store.get([key]).get(key)
        if known is None:
            store.put({key: signature})
            return fingerprint
        if known.shape == signature.shape and float(np.abs(known - signature).sum()) <= _SAME * SCORED:
            return fingerprint
    raise AssertionError
