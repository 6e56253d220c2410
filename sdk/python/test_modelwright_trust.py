"""Whose versions the loader takes."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import modelwright_load
import pytest
import torch
from modelwright_load import BASE, ORDER, LoadError, P, UntrustedError, _canonical, _times, load, verify_ed25519
from test_modelwright_load import Store, store  # noqa: F401

# RFC 8032, 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_the_standard_are_good_and_no_changed_one_is(public: str, message: str, signature: str) -> None:
    key, text, value = map(bytes.fromhex, (public, message, signature))
    assert verify_ed25519(key, value, text)
    assert not verify_ed25519(key, value, text + b"x")
    for place in range(0, 64, 7):
        assert not verify_ed25519(key, value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :], text)
    assert not verify_ed25519(bytes([key[0] ^ 1]) + key[1:], value, text)
    assert not verify_ed25519(key, value[:-1], text)
    assert not verify_ed25519(key[:-1], value, text)
    larger = int.from_bytes(value[32:], "little") + ORDER
    assert not verify_ed25519(key, value[:32] + larger.to_bytes(32, "little"), text)
    assert not verify_ed25519((P + 1).to_bytes(32, "little"), value, text)


class Key:
    """Signs as the standard says."""

    def __init__(self, seed: int) -> None:
        digest = hashlib.sha512(bytes([seed]) * 32).digest()
        self.secret = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
        self.prefix = digest[32:]
        self.raw = self.encoded(self.secret)
        self.public = base64.b64encode(self.raw).decode()
        self.key_id = hashlib.sha256(self.raw).hexdigest()[:16]

    @staticmethod
    def encoded(scalar: int) -> bytes:
        x, y, z, _ = _times(scalar, BASE)
        inverse = pow(z, -1, P)
        return (y * inverse % P | (x * inverse % P % 2) << 255).to_bytes(32, "little")

    def signed(self, manifest: dict[str, Any]) -> dict[str, Any]:
        message = _canonical(manifest).encode()
        once = int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % ORDER
        start = self.encoded(once)
        challenge = int.from_bytes(hashlib.sha512(start + self.raw + message).digest(), "little")
        value = start + ((once + challenge * self.secret) % ORDER).to_bytes(32, "little")
        return {**manifest, "signature": {"keyId": self.key_id, "value": base64.b64encode(value).decode()}}


OURS, OTHER = Key(1), Key(2)


class Api:
    """One version of `news`, in a store that answers as the API too."""

    def __init__(self, server: Store) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        told, self.part = server.put({"weights": torch.arange(6.0)})
        shard = {"sha256": self.part.sha256, "bytes": self.part.bytes}
        self.manifest = {"format": "modelwright-model/2", "customizationId": "news", "version": 3, "labels": ["\u00fc"], "tensors": told, "shards": [shard]}
        self.name_keys(OURS)

    def name_keys(self, *keys: Key) -> None:
        self.server.shards["v1/signing-keys"] = json.dumps({"items": [{"keyId": one.key_id, "publicKey": one.public} for one in keys]}).encode()

    def put(self, content: bytes) -> dict[str, Any]:
        sha256 = hashlib.sha256(content).hexdigest()
        self.server.shards[sha256] = content
        return {"sha256": sha256, "bytes": len(content), "url": f"{self.url}/{sha256}?signed=1"}

    def publish(self, manifest: dict[str, Any], *parts: dict[str, Any]) -> None:
        told = self.put(_canonical(manifest).encode())
        items = [{"sha256": self.part.sha256, "bytes": self.part.bytes, "url": self.part.url}, *parts]
        self.server.shards["v1/customizations/news/models/3/files"] = json.dumps({"items": items, "manifest": told}).encode()

    def load(self, **options: Any) -> torch.Tensor:
        return load(f"{self.url}/", "key", "news@v3", **options).tensors["weights"]

    def shard_was_fetched(self) -> bool:
        return self.part.sha256 in self.server.asked_for


@pytest.fixture
def api(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:  # noqa: F811
    monkeypatch.setenv("MW_HOME", str(tmp_path))
    monkeypatch.delenv("MW_TRUSTED_KEYS", raising=False)
    return Api(store)


def test_keys_of_the_first_use_are_kept_and_later_ones_are_not_believed(api: Api, tmp_path: Path) -> None:
    api.publish(OURS.signed(api.manifest))
    assert api.load().tolist() == [0, 1, 2, 3, 4, 5]
    [file] = (tmp_path / "trusted-keys").iterdir()
    assert json.loads(file.read_text()) == {"url": api.url, "keys": [OURS.public]}
    api.name_keys(OTHER)
    assert api.load() is not None
    api.publish(OTHER.signed(api.manifest))
    with pytest.raises(UntrustedError, match=f"v3 of news is not trusted: it is signed with the key {OTHER.key_id}, which is not trusted here: {file} has"):
        api.load()
    file.unlink()
    assert api.load() is not None


def test_given_keys_are_the_only_ones_and_nothing_is_kept(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.publish(OTHER.signed(api.manifest))
    assert api.load(trusted_keys=[OURS.public, OTHER.public]) is not None
    monkeypatch.setenv("MW_TRUSTED_KEYS", f"{OURS.public}, {OTHER.public}")
    assert api.load() is not None
    with pytest.raises(UntrustedError, match="add its public key to trusted_keys"):
        api.load(trusted_keys=[OURS.public])
    with pytest.raises(UntrustedError, match="which is not trusted here"):
        api.load(trusted_keys=[])
    monkeypatch.setenv("MW_TRUSTED_KEYS", "abc")
    with pytest.raises(LoadError, match=r"MW_TRUSTED_KEYS has a key \(number 1\) that is not the base64 of 32 bytes"):
        api.load()
    assert list(tmp_path.iterdir()) == []


FORMER = {"format": "modelwright-model/1"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda whole: {name: value for name, value in whole.items() if name != "signature"}, "its manifest has no signature: somebody has taken it away"),
        (lambda whole: {**whole, "labels": ["other"]}, "its signature is not that of the key .*: the manifest was changed after it was signed"),
        (lambda whole: {**whole, "signature": {**whole["signature"], "value": "AAAA"}}, "was changed after it was signed"),
        (lambda whole: {**whole, "signature": {**whole["signature"], "value": "no base64!"}}, "was changed after it was signed"),
        (lambda whole: OTHER.signed({name: value for name, value in whole.items() if name != "signature"}), "which is not trusted here"),
        (lambda whole: {**{name: value for name, value in whole.items() if name != "signature"}, **FORMER}, "it is from before versions were signed"),
        (lambda whole: OURS.signed({**{name: value for name, value in whole.items() if name != "signature"}, "version": 2}), "its manifest is that of v2 of news"),
    ],
)
def test_what_is_not_trusted_is_refused_before_a_shard_is_fetched(api: Api, changed: Any, said: str) -> None:
    api.publish(changed(OURS.signed(api.manifest)))
    with pytest.raises(UntrustedError, match=said):
        api.load(trusted_keys=[OURS.public])
    assert not api.shard_was_fetched()


def test_a_version_of_before_is_taken_where_that_is_wished(api: Api) -> None:
    api.publish({**api.manifest, **FORMER})
    assert api.load(allow_unsigned=True).tolist() == [0, 1, 2, 3, 4, 5]
    api.publish(api.manifest)
    with pytest.raises(UntrustedError, match="has no signature"):
        api.load(allow_unsigned=True)


def test_a_manifest_that_is_none_or_damaged_is_an_error_of_its_own(api: Api) -> None:
    api.publish({"format": "modelwright-model/4"})
    with pytest.raises(LoadError, match="has format modelwright-model/4, which this program does not know"):
        api.load()
    api.publish([])  # type: ignore[arg-type]
    with pytest.raises(LoadError, match="the manifest of v3 of news is not one of a model"):
        api.load()
    api.publish(OURS.signed(api.manifest))
    told = json.loads(api.server.shards["v1/customizations/news/models/3/files"])["manifest"]["sha256"]
    api.server.shards[told] = api.server.shards[told].replace(b"news", b"spam")
    with pytest.raises(LoadError, match=f"manifest {told} is damaged"):
        api.load()


def test_keys_that_cannot_be_kept_are_asked_for_by_name(api: Api, tmp_path: Path) -> None:
    (tmp_path / "trusted-keys").write_text("a file where the folder would be")
    api.publish(OURS.signed(api.manifest))
    with pytest.raises(LoadError, match="cannot be kept in .*: name them in trusted_keys or MW_TRUSTED_KEYS"):
        api.load()
    (tmp_path / "trusted-keys").unlink()
    assert api.load() is not None
    [file] = (tmp_path / "trusted-keys").iterdir()
    file.write_text("{}")
    with pytest.raises(LoadError, match="is no list of trusted keys: mend it"):
        api.load()


def test_canonical_text_is_that_of_the_publisher() -> None:
    text = '{"a":"\\u2028\\u00e9\\u001f\\n","\\ud83d\\ude00":1,"\\uff5e":[true,null],"n":1e-7}'
    parsed = json.loads(text, parse_int=modelwright_load._Number, parse_float=modelwright_load._Number)
    assert _canonical(parsed) == '{"a":"\u2028\u00e9\\u001f\\n","n":1e-7,"\U0001f600":1,"\uff5e":[true,null]}'
