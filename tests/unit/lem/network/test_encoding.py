"""The encoder with its affine parts multiplied out is the encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lem.network.checkpoint import fresh_model, load_checkpoint
from lem.network.dataset import Encodable
from lem.network.encoding import ROWS, encode
from lem.network.model import LEM
from lem.network.model_config import ModelConfig


def inputs(series: int, steps: int) -> Encodable:
    """Random features, a third of them absent, and series that begin at different rows."""
    generator = torch.Generator().manual_seed(3)
    shape = (series, steps, ModelConfig().features)
    valid = torch.arange(steps) >= torch.randint(0, steps, (series, 1), generator=generator)
    mask = (torch.rand(shape, generator=generator) > 0.3) & valid[..., None]
    values = torch.where(mask, torch.randn(shape, generator=generator), 0.0)
    return Encodable(values, mask, valid)


def models() -> list[LEM]:
    config = ModelConfig()
    changes: list[ModelConfig] = [
        config,
        replace(config, selection=False),
        replace(config, attention=False),
        replace(config, cell="lstm", hidden=16),
    ]
    return [load_checkpoint().model, *(fresh_model(one, 5) for one in changes)]


@pytest.mark.parametrize("which", range(5))
def test_contexts_are_the_encoders(which: int) -> None:
    """The shipped model, a fresh one and the ablations agree to 1e-5, over several blocks of rows."""
    model = models()[which]
    given = inputs(90, 50)
    assert 2 * ROWS < 90 * 50
    with torch.no_grad():
        want = model.encoder(given.values, given.mask, given.valid)[0]
        torch.testing.assert_close(encode(model.encoder, given), want, atol=1e-5, rtol=1e-5)
        late = encode(model.encoder, given, 40)
    torch.testing.assert_close(late[:, 40:], want[:, 40:], atol=1e-5, rtol=1e-5)
    assert bool((late[:, :40] == model.encoder.void).all())
    assert float(want.std()) > 0.01


def test_a_series_does_not_depend_on_its_neighbours() -> None:
    """Encoded among others of equal number, one series keeps its contexts to the bit."""
    encoder = load_checkpoint().model.encoder
    given = inputs(90, 50)
    others = given.values.clone()
    others[1:] = 3.0 * given.mask[1:]
    with torch.no_grad():
        first = encode(encoder, given)[0]
        again = encode(encoder, Encodable(others, given.mask, given.valid))[0]
    torch.testing.assert_close(first, again, atol=0.0, rtol=0.0)
