"""The actions of the profile language: one file each, one row here."""

from __future__ import annotations

from fw_gear_deid.actions import clean, dates, encrypt, hash, hashuid, inner, jitter, keep, regexsub, remove, replace
from fw_gear_deid.actions.clean import Clean
from fw_gear_deid.actions.dates import IncrementDate, IncrementDatetime
from fw_gear_deid.actions.encrypt import Decrypt, Encrypt
from fw_gear_deid.actions.hash import Hash
from fw_gear_deid.actions.hashuid import HashUid
from fw_gear_deid.actions.jitter import Jitter
from fw_gear_deid.actions.keep import Keep
from fw_gear_deid.actions.regexsub import RegexSub
from fw_gear_deid.actions.remove import Remove
from fw_gear_deid.actions.replace import Replace

TABLE = (
    keep.SPEC,
    remove.SPEC,
    replace.SPEC,
    hash.SPEC,
    hashuid.SPEC,
    dates.DATE,
    dates.DATETIME,
    jitter.SPEC,
    regexsub.SPEC,
    clean.SPEC,
    encrypt.ENCRYPT,
    encrypt.DECRYPT,
)
SPECS = {name: spec for spec in TABLE for name in spec.names}
"""Every action that the language knows, by every name that it has."""
ACTIONS = {name: spec for name, spec in SPECS.items() if spec.build is not None}
"""Those that this version carries out."""
CARRIED = ACTIONS | {spec.key: spec for spec in inner.TABLE}
"""The same, and those that no entry can ask for."""

__all__ = [
    "ACTIONS",
    "CARRIED",
    "SPECS",
    "TABLE",
    "Clean",
    "Decrypt",
    "Encrypt",
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
