"""The actions of the profile language: one file each, one row here."""

from __future__ import annotations

from fw_gear_deid.actions import dates, encrypt, hash, hashuid, jitter, keep, regexsub, remove, replace
from fw_gear_deid.actions.dates import IncrementDate, IncrementDatetime
from fw_gear_deid.actions.hash import Hash
from fw_gear_deid.actions.hashuid import HashUid
from fw_gear_deid.actions.jitter import Jitter
from fw_gear_deid.actions.keep import Keep
from fw_gear_deid.actions.regexsub import RegexSub
from fw_gear_deid.actions.remove import Remove
from fw_gear_deid.actions.replace import Replace

SPECS = (
    keep.SPEC,
    remove.SPEC,
    replace.SPEC,
    hash.SPEC,
    hashuid.SPEC,
    dates.DATE,
    dates.DATETIME,
    jitter.SPEC,
    regexsub.SPEC,
    encrypt.ENCRYPT,
    encrypt.DECRYPT,
)
ACTIONS = {name: spec for spec in SPECS if spec.build is not None for name in spec.names}
"""Those that this version carries out, by every name that they have."""

__all__ = [
    "ACTIONS",
    "SPECS",
    "Hash",
    "HashUid",
    "IncrementDate",
    "IncrementDatetime",
    "Jitter",
    "Keep",
    "RegexSub",
    "Remove",
    "Replace",
]
