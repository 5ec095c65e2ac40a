"""Keys and texts or data sets → ciphertext, and back: AES-EAX for texts, CMS for DICOM.

``cryptography`` does the arithmetic and ``asn1crypto`` knows the structures of CMS, KEK recipients of a secret key
included, which the builder in ``cryptography`` lacks. No program is started, so no key stands in an argument or a file.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fw_gear_deid.keys import random_bytes
from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import Lock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.x509 import Certificate

NONCE_BYTES, TAG_BYTES, KEY_BYTES = 8, 16, (16, 24, 32)
_NONCE_CHARS, _TAG_CHARS = 12, 24
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_MARKS = [(f"-----BEGIN {name}-----".encode(), f"-----END {name}-----".encode()) for name in ("CMS", "PKCS7")]
_MOST = 1000  # recipients of one envelope; each takes its time
_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_BEGIN, _END = "-----BEGIN CMS-----\n", "-----END CMS-----\n"
_KEY_ID = b"\0"
"""Of the secret key among recipients, as the reference engine has it."""
_LINE = 64
_MISSING = "encryption needs packages that are not there: python -m pip install 'fw-gear-deid[encrypt]'"
_WRONG_KEY = "the key at hand does not open it"
_NOT_TEXT = "it is no text that was encrypted here, or the key is another one"


def check_packages() -> None:
    """Make sure that the packages are there.

    Raises
    ------
    UsageError
    """
    try:
        import asn1crypto.cms  # noqa: F401
        import cryptography.hazmat.primitives.ciphers  # noqa: F401
    except ImportError:
        raise UsageError(_MISSING) from None


@frozen
class Ciphers:
    """What works with the keys of a run.

    Attributes
    ----------
    keys : mapping of str to bytes
        Name in the profile → content of the key's file.
    """

    keys: Mapping[str, bytes] = field(repr=False)

    # -- texts -----------------------------------------------------------------------------------------

    def encrypt(self, name: str, text: str, nonce: str) -> str:
        """Return a text as base64 of nonce (12 characters), ciphertext, and tag (24 characters).

        Parameters
        ----------
        name : str
            Of the secret key.
        text : str
        nonce : str
            Base64 of a fixed one: the result is what the reference engine writes then, without a tag.

        Raises
        ------
        Unfit
        """
        fixed = base64.b64decode(nonce) if nonce else b""
        used = fixed or random_bytes(NONCE_BYTES)
        sealed, tag = eax(self._text_key(name), used, text.encode("utf-8", "surrogatepass"))
        parts = (used, sealed) if fixed else (used, sealed, tag)
        return "".join(base64.b64encode(part).decode("ascii") for part in parts)

    def decrypt(self, name: str, text: str) -> tuple[str, bool]:
        """Return what ``encrypt`` made a text of, and whether a tag says that nobody changed it.

        Raises
        ------
        Unfit
            The key is another one, or the text was changed, or is none of ours.
        """
        key, nonce, rest = self._text_key(name), _read(text[:_NONCE_CHARS]), text[_NONCE_CHARS:]
        if nonce is None or len(nonce) != NONCE_BYTES:
            raise Unfit(_NOT_TEXT)
        sealed, tag = _read(rest[:-_TAG_CHARS]), _read(rest[-_TAG_CHARS:])
        if sealed is not None and tag is not None and len(tag) == TAG_BYTES:
            plain, wanted = _uneax(key, nonce, sealed)
            if hmac.compare_digest(tag, wanted):
                return _text(plain), True
        whole = _read(rest)
        if not whole:
            raise Unfit(_NOT_TEXT)
        found = _text(_uneax(key, nonce, whole)[0])
        if not all(char.isprintable() or char in "\t\r\n" for char in found):
            raise Unfit(_NOT_TEXT)
        return found, False

    def _text_key(self, name: str) -> bytes:
        return text_key(self._content(name), name)

    # -- data sets -------------------------------------------------------------------------------------

    def seal(self, lock: Lock, content: bytes) -> bytes:
        """Return bytes as CMS EnvelopedData for the recipients of a lock, AES-256-CBC, in PEM (PS3.15 §E.1, RFC 5652).

        Raises
        ------
        Unfit
        """
        from asn1crypto import cms

        key, vector = random_bytes(32), random_bytes(16)
        owners = self._owners(lock)
        recipients = [_recipient(owner, key) for owner in owners] or [self._secret(lock.secret, key)]
        later = any(one.chosen["version"].native != "v0" for one in recipients)
        inner = cms.EncryptedContentInfo(
            {
                "content_type": "data",
                "content_encryption_algorithm": {"algorithm": "aes256_cbc", "parameters": vector},
                "encrypted_content": _cbc(key, vector, content),
            }
        )
        body = {"version": "v2" if later else "v0", "recipient_infos": recipients, "encrypted_content_info": inner}
        der = cms.ContentInfo({"content_type": "enveloped_data", "content": cms.EnvelopedData(body)}).dump()
        text = base64.b64encode(der).decode("ascii")
        lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
        pem = _BEGIN + "".join(f"{line}\n" for line in lines) + _END
        return pem.encode("ascii") + b"\n" * (len(pem) % 2)

    def open(self, lock: Lock, sealed: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Return the bytes in an envelope, in PEM or DER.

        Parameters
        ----------
        lock : Lock
        sealed : bytes
        fits : callable
            Whether bytes can be what was put into it: a wrong key may give some as well.

        Raises
        ------
        Unfit
            The key at hand does not open it, or it is none.
        """
        envelope = _envelope(sealed)
        opened = self._by_private if lock.private else self._by_secret
        for key in opened(lock, envelope):
            found = _content(envelope, key)
            if found is not None and fits(found):
                return found
        raise Unfit(_WRONG_KEY)

    def check(self, lock: Lock, sealed: bytes, content: bytes) -> None:
        """Make sure that an envelope holds some bytes; with public keys alone, that it is what it should be.

        Raises
        ------
        Unfit
        """
        if not lock.public or self.keys.get(lock.private):
            self.open(lock, sealed, content.__eq__)
            return
        envelope = _envelope(sealed)
        inner = envelope["encrypted_content_info"]
        size = len(inner["encrypted_content"].native)
        known = inner["content_encryption_algorithm"]["algorithm"].native == "aes256_cbc"
        if (
            not known
            or len(envelope["recipient_infos"]) != len(self._owners(lock))
            or size != len(content) // 16 * 16 + 16
        ):
            raise Unfit("the envelope is not what it should be")

    def _secret(self, name: str, key: bytes) -> Any:
        from asn1crypto import cms
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        own = secret_key(self._content(name), name)
        told = {
            "version": "v4",
            "kekid": {"key_identifier": _KEY_ID},
            "key_encryption_algorithm": {"algorithm": f"aes{8 * len(own)}_wrap"},
            "encrypted_key": aes_key_wrap(own, key),
        }
        return cms.RecipientInfo(name="kekri", value=cms.KEKRecipientInfo(told))

    def _owners(self, lock: Lock) -> list[Owner]:
        return [owner for name in lock.public for owner in public_keys(self._content(name), name)]

    def _by_secret(self, lock: Lock, envelope: Any) -> Iterator[bytes]:
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        own = secret_key(self._content(lock.secret), lock.secret)
        for one in envelope["recipient_infos"]:
            if one.name != "kekri":
                continue
            if one.chosen["key_encryption_algorithm"]["algorithm"].native != f"aes{8 * len(own)}_wrap":
                continue
            try:
                yield aes_key_unwrap(own, one.chosen["encrypted_key"].native)
            except (InvalidUnwrap, ValueError):
                continue

    def _by_private(self, lock: Lock, envelope: Any) -> Iterator[bytes]:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15

        own = private_key(self._content(lock.private), lock.private)
        for one in envelope["recipient_infos"]:
            if one.name != "ktri":
                continue
            algorithm = one.chosen["key_encryption_algorithm"]["algorithm"].native
            oaep = OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 -- the default of RFC 8017 §A.2.1
            try:
                yield own.decrypt(one.chosen["encrypted_key"].native, oaep if algorithm == "rsaes_oaep" else PKCS1v15())
            except ValueError:
                continue

    def _content(self, name: str) -> bytes:
        found = self.keys.get(name)
        if not found:
            raise Unfit(f"the key {name} is not at hand")
        return found


# -- keys ----------------------------------------------------------------------------------------------


def text_key(content: bytes, name: str) -> bytes:
    """Return the AES key for texts: the bytes of the secret as they are, blanks around them apart.

    Raises
    ------
    Unfit
    """
    found = content.strip()
    if len(found) not in KEY_BYTES:
        raise Unfit(f"{name}: a key for texts has 16, 24 or 32 characters")
    return found


def secret_key(content: bytes, name: str) -> bytes:
    """Return the AES key for DICOM: the secret read as hexadecimal digits.

    Raises
    ------
    Unfit
    """
    try:
        found = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        found = b""
    if len(found) not in KEY_BYTES:
        raise Unfit(f"{name}: a secret key for DICOM has 32, 48 or 64 hexadecimal digits")
    return found


@frozen
class Owner:
    """Who can open an envelope.

    Attributes
    ----------
    public : RSAPublicKey
    told : object
        What CMS calls who has the other key: issuer and number of a certificate, or a digest of the public key.
    """

    public: RSAPublicKey
    told: Any


@lru_cache(maxsize=32)  # reading one takes its time
def public_keys(content: bytes, name: str) -> tuple[Owner, ...]:
    """Return the RSA keys of certificates, or of public keys alone, in PEM.

    Raises
    ------
    Unfit
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found: list[Owner] = []
    for block in _BLOCK.findall(content):
        certificate = None
        try:
            if b"CERTIFICATE" in block[:_LINE]:
                certificate = x509.load_pem_x509_certificate(block)
            public: object = certificate.public_key() if certificate else load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            public = None
        if not isinstance(public, RSAPublicKey):
            found = []
            break
        found.append(Owner(public, _told(public, certificate)))
    if not found:
        raise Unfit(f"{name}: neither an X.509 certificate nor a public key, of RSA, in PEM")
    return tuple(found)


def _told(public: RSAPublicKey, certificate: Certificate | None) -> Any:
    from asn1crypto import cms
    from asn1crypto.x509 import Certificate as Read
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import SubjectKeyIdentifier

    if certificate is None:
        return SubjectKeyIdentifier.from_public_key(public).digest
    read = Read.load(certificate.public_bytes(Encoding.DER))
    return cms.IssuerAndSerialNumber({"issuer": read.issuer, "serial_number": read.serial_number})


def _recipient(owner: Owner, key: bytes) -> Any:
    from asn1crypto import cms, core
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    alone = isinstance(owner.told, bytes)
    rid = "subject_key_identifier" if alone else "issuer_and_serial_number"
    told = {
        "version": "v2" if alone else "v0",
        "rid": cms.RecipientIdentifier(name=rid, value=owner.told),
        "key_encryption_algorithm": {"algorithm": "rsaes_pkcs1v15", "parameters": core.Null()},
        "encrypted_key": owner.public.encrypt(key, PKCS1v15()),
    }
    return cms.RecipientInfo(name="ktri", value=cms.KeyTransRecipientInfo(told))


@lru_cache(maxsize=4)
def private_key(content: bytes, name: str) -> RSAPrivateKey:
    """Return an RSA key from PEM.

    Raises
    ------
    Unfit
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found: object = load_pem_private_key(content, None)
    except TypeError:
        raise Unfit(f"{name}: it has a password; give one without") from None
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, RSAPrivateKey):
        raise Unfit(f"{name}: no private key of RSA in PEM")
    return found


# -- AES-EAX -------------------------------------------------------------------------------------------


def eax(key: bytes, nonce: bytes, plain: bytes) -> tuple[bytes, bytes]:
    """Return ciphertext and tag by AES-EAX without a header (Bellare, Rogaway, Wagner 2004).

    Parameters
    ----------
    key : bytes
        16, 24 or 32.
    nonce, plain : bytes
    """
    start = _omac(key, 0, nonce)
    sealed = _ctr(key, start, plain)
    return sealed, _tag(key, start, sealed)


def _uneax(key: bytes, nonce: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """Return what was encrypted, and the tag that it must have."""
    start = _omac(key, 0, nonce)
    return _ctr(key, start, sealed), _tag(key, start, sealed)


def _tag(key: bytes, start: bytes, sealed: bytes) -> bytes:
    parts = (start, _omac(key, 1, b""), _omac(key, 2, sealed))
    first, second, third = (int.from_bytes(part, "big") for part in parts)
    return (first ^ second ^ third).to_bytes(TAG_BYTES, "big")


def _omac(key: bytes, number: int, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.cmac import CMAC

    mac = CMAC(AES(key))
    mac.update(bytes(15) + bytes([number]) + data)
    return mac.finalize()


def _ctr(key: bytes, start: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    worker = Cipher(AES(key), CTR(start)).encryptor()
    return worker.update(data) + worker.finalize()


def _read(text: str) -> bytes | None:
    """Return the bytes of a base64 text that has nothing else in it; None for another."""
    try:
        return base64.b64decode(text, validate=True) if _BASE64.fullmatch(text) else None
    except binascii.Error:
        return None


def _text(plain: bytes) -> str:
    try:
        return plain.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Unfit(_NOT_TEXT) from None


# -- CMS -----------------------------------------------------------------------------------------------


def _envelope(sealed: bytes) -> Any:
    """Return the EnvelopedData in PEM or DER.

    Raises
    ------
    Unfit
    """
    from asn1crypto import cms

    try:
        found = cms.ContentInfo.load(_der(sealed))
        if found["content_type"].native != "enveloped_data":
            raise Unfit(_NO_ENVELOPE)
        envelope = found["content"]
        found.native  # noqa: B018 -- reads all of it
        if len(envelope["recipient_infos"]) > _MOST:
            raise Unfit(f"it is for more than {_MOST} recipients")
        return envelope
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        raise Unfit(_NO_ENVELOPE) from None


def _der(sealed: bytes) -> bytes:
    """Return the bytes of an envelope without PEM around them."""
    text = sealed.strip(b"\0\r\n\t ")
    for begin, end in _MARKS:
        if text.startswith(begin) and text.endswith(end):
            return base64.b64decode(text[len(begin) : -len(end)])
    return sealed[:-1] if sealed[-1:] == b"\0" else sealed  # padded to even length


_NO_ENVELOPE = "it is no CMS envelope"
_CIPHERS = {"aes128_cbc": 16, "aes192_cbc": 24, "aes256_cbc": 32, "tripledes_3key": 24}


def _content(envelope: Any, key: bytes) -> bytes | None:
    """Return what an envelope holds; None where the key is not that of its content."""
    inner = envelope["encrypted_content_info"]
    algorithm = inner["content_encryption_algorithm"]
    name, vector = algorithm["algorithm"].native, algorithm["parameters"].native
    sealed = inner["encrypted_content"].native
    if name not in _CIPHERS:
        raise Unfit("its content is encrypted in a way that is not known here")
    block = 8 if name == "tripledes_3key" else 16
    usable = isinstance(sealed, bytes) and isinstance(vector, bytes) and len(vector) == block
    if len(key) != _CIPHERS[name] or not usable or not sealed or len(sealed) % block:
        return None
    plain = _uncbc(key, vector, sealed, triple=block == 8)
    pad = plain[-1]
    return plain[:-pad] if 0 < pad <= block and plain[-pad:] == bytes([pad]) * pad else None


def _cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    pad = 16 - len(data) % 16
    worker = Cipher(AES(key), CBC(vector)).encryptor()
    return worker.update(data) + worker.update(bytes([pad]) * pad) + worker.finalize()


def _uncbc(key: bytes, vector: bytes, sealed: bytes, *, triple: bool) -> bytes:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    worker = Cipher(TripleDES(key) if triple else AES(key), CBC(vector)).decryptor()
    return worker.update(sealed) + worker.finalize()


def checked(keys: Mapping[str, bytes], dicom: Lock, texts: Sequence[str]) -> None:
    """Make sure that keys are what sections need them for.

    Parameters
    ----------
    keys : mapping of str to bytes
    dicom : Lock
        Of the section for DICOM.
    texts : sequence of str
        Names of secrets for other sections.

    Raises
    ------
    UsageError
        All that is wrong; no key is quoted.
    """
    wrong: list[str] = []
    uses: list[tuple[Any, str]] = [(text_key, name) for name in texts]
    uses += [(secret_key, dicom.secret), (private_key, dicom.private)]
    uses += [(public_keys, name) for name in dicom.public]
    for read, name in dict.fromkeys(uses):
        if name in keys:
            try:
                read(keys[name], name)
            except Unfit as error:
                wrong.append(str(error))
    if wrong:
        raise UsageError(*wrong)
