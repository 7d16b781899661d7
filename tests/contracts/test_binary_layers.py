"""Function and gradient of binary layers against float64 references, written out in NumPy."""

import numpy as np
import pytest
import torch

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.binary import BinaryConv2d, BinaryLinear, undecayed
from tinyrefinery.layers.quantized_weights import quantized, sign


def signs(values):
    return np.where(values >= 0, 1.0, -1.0)


def windows(maps, kernel, stride, padding):
    """(B, C, h, w) -> (B, h', w', C, k, k), padded with zeros."""
    padded = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows = (padded.shape[2] - kernel) // stride + 1
    columns = (padded.shape[3] - kernel) // stride + 1
    out = np.empty((len(maps), rows, columns, maps.shape[1], kernel, kernel))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            out[:, i, j] = padded[:, :, top : top + kernel, left : left + kernel]
    return out


def scatter(gradients, shape, kernel, stride, padding):
    """The transpose of `windows`: (B, h', w', C, k, k) -> (B, C, h, w)."""
    padded = np.zeros((*shape[:2], shape[2] + 2 * padding, shape[3] + 2 * padding))
    for i in range(gradients.shape[1]):
        for j in range(gradients.shape[2]):
            top, left = i * stride, j * stride
            padded[:, :, top : top + kernel, left : left + kernel] += gradients[:, i, j]
    return padded[:, :, padding : padding + shape[2], padding : padding + shape[3]]


def reference(x, w, g, *, stride, padding, clip, binary_inputs, scaled_inputs):
    """Output (B, O, h', w'), and gradients of x and w for the gradient g of the output.

    out = alpha_o K (sum of sign(x) sign(w)); alpha_o and K are differentiated too.
    """
    kernel, n = w.shape[2], w[0].size
    inputs = signs(x) if binary_inputs else x
    seen = windows(inputs, kernel, stride, padding)
    counts = np.einsum("bijckl,ockl->boij", seen, signs(w))
    alpha = np.abs(w).mean(axis=(1, 2, 3)).reshape(1, -1, 1, 1)
    means = np.abs(x).mean(axis=1, keepdims=True)
    k = windows(means, kernel, stride, padding).mean(axis=(3, 4, 5))[:, None]
    k = k if scaled_inputs else np.ones_like(k)
    through = g * k * alpha  # of the counts
    dx = scatter(
        np.einsum("boij,ockl->bijckl", through, signs(w)), x.shape, kernel, stride, padding
    )
    if binary_inputs:
        dx = dx * (np.abs(x) <= clip)
    if scaled_inputs:
        dk = (g * alpha * counts).sum(axis=1)[..., None, None, None] / kernel**2
        spread = np.broadcast_to(dk, (*dk.shape[:3], 1, kernel, kernel))
        dx = dx + signs(x) / x.shape[1] * scatter(
            spread, (len(x), 1, *x.shape[2:]), kernel, stride, padding
        )
    dw = np.einsum("boij,bijckl->ockl", through, seen) * (np.abs(w) <= clip)
    dalpha = (g * k * counts).sum(axis=(0, 2, 3)).reshape(-1, 1, 1, 1)
    return alpha * k * counts, dx, dw + signs(w) / n * dalpha


@pytest.mark.parametrize(
    ("binary_inputs", "scaled_inputs"), [(True, False), (True, True), (False, False)]
)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "clip"),
    [(3, 1, 1, 1.0), (3, 2, 1, 1.25), (1, 1, 0, 1.0), (5, 2, 2, 0.5)],
)
def test_convolution_and_its_gradient(binary_inputs, scaled_inputs, kernel, stride, padding, clip):
    rng = np.random.default_rng(kernel + stride)
    x, w = rng.normal(size=(2, 3, 7, 6)), 0.8 * rng.normal(size=(4, 3, kernel, kernel))
    layer = BinaryConv2d(
        *(3, 4),
        kernel=kernel,
        stride=stride,
        padding=padding,
        clip=clip,
        activations="binary" if binary_inputs else "float",
        input_scale=scaled_inputs,
    ).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w))
    inputs = torch.from_numpy(x).requires_grad_()
    out = layer(inputs)
    g = rng.normal(size=tuple(out.shape))
    out.backward(torch.from_numpy(g))
    expected, dx, dw = reference(
        *(x, w, g),
        stride=stride,
        padding=padding,
        clip=clip,
        binary_inputs=binary_inputs,
        scaled_inputs=scaled_inputs,
    )
    assert layer.weight.grad is not None
    assert inputs.grad is not None
    np.testing.assert_allclose(out.detach(), expected, atol=1e-12)
    np.testing.assert_allclose(inputs.grad, dx, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, dw, atol=1e-12)


def test_linear_and_its_gradient():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 8)), rng.normal(size=(3, 8)), rng.normal(size=3)
    g = rng.normal(size=(5, 3))
    layer = BinaryLinear(8, 3, bias=True).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w))
        layer.bias.copy_(torch.from_numpy(b))
    inputs = torch.from_numpy(x).requires_grad_()
    out = layer(inputs)
    out.backward(torch.from_numpy(g))
    alpha, counts = np.abs(w).mean(axis=1), signs(x) @ signs(w).T
    dw = (np.abs(w) <= 1) * alpha[:, None] * (g.T @ signs(x))
    dw += signs(w) / 8 * (g * counts).sum(axis=0)[:, None]
    np.testing.assert_allclose(out.detach(), alpha * counts + b, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, dw, atol=1e-12)
    np.testing.assert_allclose(inputs.grad, (np.abs(x) <= 1) * ((g * alpha) @ signs(w)), atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, g.sum(axis=0), atol=1e-12)


def test_the_sign_of_zero_is_positive_and_its_gradient_ends_at_the_clip():
    values = torch.tensor([-2.0, -1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0, 1.1], requires_grad=True)
    out = sign(values)
    assert out.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    out.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert torch.equal(sign(values.detach()), out)


def test_float32_sums_are_exact_integers():
    torch.manual_seed(0)
    layer = BinaryConv2d(256, 64)
    x = torch.randn(1, 256, 9, 9)
    levels, scale = layer.levels()
    assert scale is not None
    counts = torch.nn.functional.conv2d(sign(x).double(), levels.double(), padding=1)
    expected = counts.float() * scale.view(1, -1, 1, 1)
    assert torch.equal(layer(x), expected)


def test_ternary_weights_and_their_gradient():
    rng = np.random.default_rng(1)
    w, g = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(3, 2, 3, 3))
    weights = torch.from_numpy(w).requires_grad_()
    levels, scale = quantized(weights, "ternary")
    assert scale is not None
    (levels * scale.view(-1, 1, 1, 1)).backward(torch.from_numpy(g))
    size = np.abs(w)
    used = size > 0.7 * size.mean(axis=(1, 2, 3), keepdims=True)
    count = used.sum(axis=(1, 2, 3), keepdims=True)
    alpha = (size * used).sum(axis=(1, 2, 3), keepdims=True) / count
    np.testing.assert_array_equal(levels.detach(), used * signs(w))
    np.testing.assert_allclose(scale.detach(), alpha.ravel(), atol=1e-12)
    dalpha = (g * used * signs(w)).sum(axis=(1, 2, 3), keepdims=True)
    expected = g * alpha * (size <= 1) + used * signs(w) / count * dalpha
    np.testing.assert_allclose(weights.grad, expected, atol=1e-12)


def test_four_bit_weights_and_their_gradient():
    rng = np.random.default_rng(2)
    w, g = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(3, 2, 3, 3))
    weights = torch.from_numpy(w).requires_grad_()
    levels, scale = quantized(weights, "int4")
    assert scale is not None
    (levels * scale.view(-1, 1, 1, 1)).backward(torch.from_numpy(g))
    step = np.abs(w).max(axis=(1, 2, 3), keepdims=True) / 7
    np.testing.assert_array_equal(levels.detach(), np.round(w / step))
    assert float(levels.detach().abs().max()) == 7
    np.testing.assert_allclose(weights.grad, g, atol=1e-12)


def test_weights_are_centered_then_clipped():
    rng = np.random.default_rng(3)
    w = 2 * rng.normal(size=(4, 3, 3, 3))
    for centered in (False, True):
        layer = BinaryConv2d(3, 4, clip=1.25, centered=centered).double()
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w))
        layer.constrain()
        middle = w.mean(axis=1, keepdims=True) if centered else 0
        np.testing.assert_allclose(layer.weight.detach(), np.clip(w - middle, -1.25, 1.25))
    free = BinaryConv2d(3, 4, weights="float")
    with torch.no_grad():
        free.weight.fill_(9)
    free.constrain()
    assert float(free.weight.detach().min()) == 9


def test_only_binary_and_ternary_weights_never_decay():
    network = torch.nn.Sequential(
        BinaryConv2d(3, 4),
        BinaryConv2d(3, 4, weights="ternary"),
        BinaryConv2d(3, 4, weights="int4"),
        BinaryConv2d(3, 4, weights="float"),
        torch.nn.Conv2d(3, 4, 3),
    )
    assert undecayed(network) == {"0.weight", "1.weight"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "bits"}, "weights is one of float, binary, ternary, int4, not 'bits'"),
        ({"activations": "int8"}, "activations is float or binary"),
        ({"clip": 0}, "clip must be above 0"),
        ({"activations": "float", "input_scale": True}, "input_scale needs activations binary"),
    ],
)
def test_options_that_make_no_layer(options, message):
    with pytest.raises(RecipeError, match=message):
        BinaryConv2d(3, 4, **options)
