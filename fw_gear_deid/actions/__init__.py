"""The actions of the profile language, one file each: key as users write it → class."""

from __future__ import annotations

from fw_gear_deid.actions.dates import IncrementDate, IncrementDatetime
from fw_gear_deid.actions.hash import Hash
from fw_gear_deid.actions.hashuid import HashUid
from fw_gear_deid.actions.jitter import Jitter
from fw_gear_deid.actions.keep import Keep
from fw_gear_deid.actions.regexsub import RegexSub
from fw_gear_deid.actions.remove import Remove
from fw_gear_deid.actions.replace import Replace

ACTIONS = {
    "keep": Keep,
    "identity": Keep,
    "remove": Remove,
    "replace-with": Replace,
    "hash": Hash,
    "hashuid": HashUid,
    "increment-date": IncrementDate,
    "increment-datetime": IncrementDatetime,
    "jitter": Jitter,
    "regex-sub": RegexSub,
}
LATER = ("encrypt", "decrypt")  # known to the language, refused by this version

__all__ = [
    "ACTIONS",
    "LATER",
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
