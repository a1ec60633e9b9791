import numpy as np
import pytest
import torch
from scipy import sparse

from zoo.denoisers.chebconv import ChebConv, scaled_laplacian
from zoo.denoisers.sparse import SparseMatrix

RING = np.stack([np.arange(7), (np.arange(7) + 1) % 7], axis=1)
CHORDS = np.concatenate([RING, [[0, 3], [1, 5]]])


def graph() -> SparseMatrix:
    return SparseMatrix(scaled_laplacian(CHORDS, 7))


def test_the_scaled_laplacian_has_eigenvalues_between_minus_one_and_one():
    values = np.linalg.eigvalsh(scaled_laplacian(CHORDS, 7).toarray())
    assert values.min() >= -1 - 1e-9
    assert values.max() <= 1 + 1e-9
    assert np.isclose(values.min(), -1)  # the constant of a connected graph


def test_a_lonely_vertex_is_left_alone():
    matrix = scaled_laplacian(np.array([[0, 1]]), 3).toarray()
    assert (matrix[2] == 0).all()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_convolution_is_the_dense_chebyshev_polynomial(order):
    layer, x = ChebConv(4, 6, graph(), order), torch.randn(3, 7, 4)
    L = torch.from_numpy(scaled_laplacian(CHORDS, 7).toarray()).float()
    terms = [x, L @ x]
    while len(terms) < order:
        terms.append(2 * L @ terms[-1] - terms[-2])
    torch.testing.assert_close(layer(x), layer.linear(torch.cat(terms[:order], -1)))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_gradients_are_those_of_the_dense_form(order):
    layer = ChebConv(4, 5, graph(), order)
    weight, bias = layer.linear.weight, layer.linear.bias
    x = torch.randn(3, 7, 4, requires_grad=True)
    out = torch.randn(3, 7, 5)
    ours = torch.autograd.grad(layer(x), [x, weight, bias], out)
    L = layer.laplacian.dense
    terms = [x, L @ x]
    while len(terms) < order:
        terms.append(2 * L @ terms[-1] - terms[-2])
    theirs = torch.autograd.grad(layer.linear(torch.cat(terms[:order], -1)), [x, weight, bias], out)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [2, 3])
def test_fast_and_pyg_agree_from_the_same_weights(order):
    fast, pyg = ChebConv(8, 5, graph(), order), ChebConv(8, 5, graph(), order, "pyg")
    pyg.load_state_dict(fast.state_dict())
    x = torch.randn(4, 7, 8, requires_grad=True)
    a, b = fast(x), pyg(x)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    grads = [torch.autograd.grad(y.square().sum(), [x, m.linear.weight]) for y, m in ((a, fast), (b, pyg))]
    for u, v in zip(*grads, strict=True):
        torch.testing.assert_close(u, v, rtol=1e-4, atol=1e-4)


def test_the_pyg_layer_adds_no_weights_of_its_own():
    names = list(ChebConv(3, 3, graph(), 2, "pyg").state_dict())
    assert names == list(ChebConv(3, 3, graph(), 2).state_dict())


def test_a_batch_larger_than_the_cache_gives_the_same_result(monkeypatch):
    layer, x = ChebConv(4, 4, graph(), 3), torch.randn(9, 7, 4)
    whole = layer(x)
    monkeypatch.setattr("zoo.denoisers.sparse.CACHE", 200)
    torch.testing.assert_close(layer(x), whole)


def test_a_sparse_matrix_mixes_vertices_and_its_gradient_is_the_transpose():
    dense = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 2.0]])
    matrix, x = SparseMatrix(sparse.csr_array(dense.numpy())), torch.randn(5, 3, 4, requires_grad=True)
    torch.testing.assert_close(matrix(x), dense @ x)
    g = torch.randn(5, 2, 4)
    torch.testing.assert_close(torch.autograd.grad(matrix(x), x, g)[0], dense.T @ g)


def test_autocast_keeps_the_aggregation_in_single_precision():
    layer, x = ChebConv(4, 4, graph(), 2), torch.randn(2, 7, 4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x), layer(x.float()))


def test_no_terms_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ChebConv(2, 2, graph(), 0)
