"""Values → ciphertext: known to the language, refused by this version."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Option, Spec

ENCRYPT = Spec(
    key="encrypt",
    does="encrypts the value",
    options={
        "secret-key": Option("str", entry=False, section=True),
        "force-nonce": Option("str", section=True),
    },
    placed=True,
)
DECRYPT = Spec(key="decrypt", does="decrypts what `encrypt` wrote", placed=True)
