"""Both bindings, where both are installed: only one has a wheel for some Pythons."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire import secp256k1

LIBRARIES = {"coincurve": "secp256k1_coincurve", "wallycore": "secp256k1_wally"}
BINDINGS = [import_module(f"tollway.wire.{name}") for library, name in LIBRARIES.items() if find_spec(library)]
# SEC 2's generator: the public key of the secret 1.
GENERATOR = bytes.fromhex(
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
DIGEST = bytes(range(32))

each_binding = pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding.__name__)


@each_binding
def test_the_public_key_of_one_is_the_generator(binding: ModuleType) -> None:
    assert binding.public_key((1).to_bytes(32, "big")) == GENERATOR


@given(secret=st.integers(1, 2**255), digest=st.binary(min_size=32, max_size=32))
def test_the_bindings_agree_bit_for_bit(secret: int, digest: bytes) -> None:
    key = secret.to_bytes(32, "big")
    signature = secp256k1.sign(digest, key)
    assert len(signature) == 65
    assert signature[64] in (0, 1)
    for binding in BINDINGS:
        assert binding.sign(digest, key) == signature
        assert binding.recover(digest, signature) == binding.public_key(key) == secp256k1.public_key(key)


@each_binding
@pytest.mark.parametrize("secret", [b"\0" * 32, b"\xff" * 32], ids=["zero", "over the order"])
def test_a_secret_out_of_range_is_refused(binding: ModuleType, secret: bytes) -> None:
    with pytest.raises(ValueError):  # the library's words
        binding.public_key(secret)


@each_binding
@pytest.mark.parametrize("signature", [b"\0" * 65, b"\xff" * 64 + b"\0"], ids=["zero", "over the order"])
def test_a_signature_out_of_range_has_no_key(binding: ModuleType, signature: bytes) -> None:
    with pytest.raises(ValueError):  # the library's words
        binding.recover(DIGEST, signature)
